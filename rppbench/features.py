"""Frozen image features and proposals on disk, addressed by all that made them; safe to delete."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rppbench.records import digest

Arrays = Mapping[str, NDArray[Any]]


class FeatureStore:
    """Arrays of unit features, one file for each key; memory-mapped, written atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: Mapping[str, object]) -> Path:
        """Where the array of this key is, whether it exists or not."""
        name = digest({name: str(value) for name, value in key.items()}, 32)
        return self.folder / "features" / name[:2] / f"{name}.npy"

    def get(self, key: Mapping[str, object], rows: int, compute: Callable[[], Tensor]) -> Tensor:
        """The (rows, e) float32 array of `key`; `compute` runs only if it is not there yet.

        A file that cannot be read, or has another number of rows, is made again: the store is a
        cache, and a bad file in it must never become a number.
        """
        path = self.path(key)
        try:
            # Copy-on-write mapping: nothing is read before it is used, nobody can write back.
            stored = np.load(path, mmap_mode="c", allow_pickle=False)
            if stored.ndim == 2 and len(stored) == rows and stored.dtype == np.float32:
                return torch.from_numpy(stored)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, EOFError):
            path.unlink(missing_ok=True)
        features = compute().detach().to("cpu", torch.float32)
        _write(path, lambda file: np.save(file, features.numpy(), allow_pickle=False))
        return features

    def arrays(self, key: Mapping[str, object], compute: Callable[[], Arrays]) -> Arrays:
        """Several arrays of any shape under one `key`, compressed; as `get` for the rest."""
        path = self.path(key).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, EOFError, BadZipFile, zlib.error):
            path.unlink(missing_ok=True)
        found = compute()
        _write(path, lambda file: np.savez_compressed(file, **dict[str, Any](found)))
        return found


def _write(path: Path, save: Callable[[IO[bytes]], object]) -> None:
    """The whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            save(file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
