"""The store: features of frozen towers and proposals on disk, found by their key (`keys`).

It is a cache: deleting any of it is safe. Every file is written in one step. Features are
memory-mapped safetensors files:

    features/<ab>/<key>.safetensors          one array that is always read in full
    features/<ab>/<key>/<rows>.safetensors   some rows of a key, with the digests of the rows'
                                             names: any list of rows is gathered from these files
    features/<ab>/<key>.npz                  other arrays, compressed

So an image that was part of any earlier list is not encoded again, whichever list it is in now.
Rows that take long to compute are saved piece by piece, so a kill does not lose them all.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import filelock
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rppbench.features.files import arrays_digest, features_folder, remove, stored_files, surplus
from rppbench.files.atomic import replacing
from rppbench.files.digests import digest

WAIT_SECONDS = 3600.0
"""How long to wait for another process that computes the same rows before computing them too."""

SAVE_SECONDS = 30.0
"""Computed rows are saved at this interval: a kill loses at most that and the current block."""

NAME_BYTES = 16
"""Length of the stored start of the SHA-256 of a row's name."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FeatureStore:
    """Stored arrays by key; several processes may use one folder at the same time."""

    folder: Path
    """The cache folder; features are in its subfolder `features`."""
    limit: int | None = None
    """Bytes; when a new file exceeds it, the least recently used files are removed."""
    complete: Callable[[Mapping[str, object]], Mapping[str, object]] = lambda key: key
    """Adds to each key what its caller does not know."""
    before_writing: Callable[[Path], None] = lambda path: None
    """Called with the path of each file that is about to be written; it may raise to prevent it."""

    def path(self, key: Mapping[str, object]) -> Path:
        """The path of this key's array, which may not exist; without suffix, its folder of rows.

        The name is a digest of the key's names and values (as texts), in any order.
        """
        name = digest({name: str(value) for name, value in self.complete(key).items()}, 32)
        return features_folder(self.folder) / name[:2] / f"{name}.safetensors"

    def get(self, key: Mapping[str, object], rows: int, compute: Callable[[], Tensor]) -> Tensor:
        """The (rows, e) float32 array of `key`, on the CPU; `compute` runs only if it is missing.

        A file that cannot be read, or has another number of rows, is replaced: the store is a
        cache, and a damaged file in it must never affect a result.
        """
        path = self.path(key)
        stored = _read_tensors(path)
        if stored is not None and len(stored["features"]) == rows:
            _mark_used(path)
            return stored["features"]
        features = compute().detach().to("cpu", torch.float32)
        self._write_tensors(path, key, {"features": features})
        self._make_room(path)
        return features

    def arrays(self, key: Mapping[str, object], compute: Callable[[], Arrays]) -> Arrays:
        """Several arrays of any shape under one `key`, compressed; otherwise as `get`."""
        path = self.path(key).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, EOFError, NotImplementedError, BadZipFile, zlib.error):
            path.unlink(missing_ok=True)
        else:
            _mark_used(path)
            return arrays
        computed = compute()
        self._write_file(path, lambda temporary: _compress(temporary, computed))
        self._make_room(path)
        return computed

    def rows(
        self,
        key: Mapping[str, object],
        names: Sequence[str],
        compute: Callable[[Sequence[int]], Iterable[Tensor]],
    ) -> Tensor:
        """The (n, e) float32 rows of these names, on the CPU, each computed once under one key.

        `compute` is called with the positions of the missing names and yields their rows in blocks
        (b, e). While another process computes rows of the same key, this one waits.
        """
        folder = self.path(key).with_suffix("")
        wanted = [_name_digest(name) for name in names]
        complete = folder / _rows_file(wanted)
        stored = _read_tensors(complete)
        if stored is not None and len(stored["features"]) == len(wanted):
            _mark_used(complete)
            return stored["features"]  # the same list as before: mapped, nothing is copied
        gathered = _GatheredRows(wanted)
        gathered.copy_from_files(folder)
        if gathered.missing:
            with _lock(folder.parent):
                gathered.copy_from_files(folder)  # rows that another process wrote meanwhile
                if missing := gathered.missing:
                    missing_names = [wanted[at] for at in missing]
                    computed = self._compute_rows(folder, key, missing_names, compute(missing))
                    if len(missing) == len(wanted):
                        return computed
                    gathered.copy(missing_names, computed)
        assert gathered.rows is not None
        return gathered.rows

    def _compute_rows(
        self,
        folder: Path,
        key: Mapping[str, object],
        names: Sequence[bytes],
        blocks: Iterable[Tensor],
    ) -> Tensor:
        """All blocks as one tensor, stored in one file; pieces saved earlier have their own."""
        parts: list[Tensor] = []
        pieces: list[Path] = []
        first_part, rows_saved, rows_done, saved_at = 0, 0, 0, time.monotonic()
        for block in blocks:
            parts.append(block.detach().to("cpu", torch.float32))
            rows_done += len(block)
            due = time.monotonic() - saved_at > SAVE_SECONDS
            if rows_saved < rows_done < len(names) and due:
                piece = torch.cat(parts[first_part:])
                pieces.append(self._write_rows(folder, key, names[rows_saved:rows_done], piece))
                self._make_room(pieces[-1])
                first_part, rows_saved, saved_at = len(parts), rows_done, time.monotonic()
        computed = torch.cat(parts)
        path = self._write_rows(folder, key, names, computed)
        if path.exists():
            for piece_path in pieces:  # before other files are removed to make room
                with suppress(OSError):
                    piece_path.unlink()
        self._make_room(path)
        return computed

    def _write_rows(
        self, folder: Path, key: Mapping[str, object], names: Sequence[bytes], features: Tensor
    ) -> Path:
        digests = np.frombuffer(b"".join(names), np.uint8).reshape(-1, NAME_BYTES).copy()
        path = folder / _rows_file(names)
        self._write_tensors(path, key, {"features": features, "names": torch.from_numpy(digests)})
        return path

    def _write_tensors(
        self, path: Path, key: Mapping[str, object], tensors: dict[str, Tensor]
    ) -> None:
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        metadata = {name: str(value) for name, value in key.items()}
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        metadata["sha256"] = arrays_digest(arrays)
        self._write_file(path, lambda temporary: save_file(tensors, temporary, metadata))

    def _write_file(self, path: Path, save: Callable[[Path], None]) -> None:
        """Write a file in one step; if the disk is full or read-only, only warn."""
        self.before_writing(path)
        try:
            with replacing(path) as temporary:
                save(temporary)
        except (OSError, SafetensorError) as error:
            warnings.warn(f"features are not stored in {self.folder}: {error}", stacklevel=4)

    def _make_room(self, path: Path) -> None:
        """Remove the least recently used files beyond the limit; the new file stays."""
        if self.limit is None:
            return
        with suppress(OSError):  # the file could not be written, or another process removed it
            size = path.stat().st_size
            others = [file for file in stored_files(self.folder) if file.path != path]
            remove(surplus(others, self.limit - size))


def _compress(path: Path, arrays: Arrays) -> None:
    with path.open("xb") as file:  # numpy would add the suffix to a path once more
        np.savez_compressed(file, **dict[str, Any](arrays))


def _mark_used(path: Path) -> None:
    """Set the modification time: the least recently used files are removed first."""
    with suppress(OSError):  # a read-only folder of another user
        os.utime(path)


def _rows_file(names: Sequence[bytes]) -> str:
    """File name of rows in this order; every process gives equal lists the same name."""
    return hashlib.sha256(b"".join(names)).hexdigest()[:32] + ".safetensors"


def _name_digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:NAME_BYTES]


def _read_tensors(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file, memory-mapped without write-back; None if it is missing or damaged.

    A damaged file is removed. The caller marks the file as used if it uses the tensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        features = stored["features"]
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError):
        features = torch.empty(0)
    if features.ndim != 2 or features.dtype != torch.float32:
        with suppress(OSError):
            path.unlink()
        return None
    return stored


class _GatheredRows:
    """The rows of a list of names, gathered from several files."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self.rows: Tensor | None = None
        """(n, e); None until the first rows are copied."""
        self.positions: dict[bytes, list[int]] = {}
        """Positions in the list of each name whose row is missing."""
        for at, name in enumerate(names):
            self.positions.setdefault(name, []).append(at)
        self.total = len(names)
        self.read: set[Path] = set()
        """Files whose rows were copied already."""

    @property
    def missing(self) -> list[int]:
        """Positions of missing rows, ascending; only the first position of each name."""
        return sorted(positions[0] for positions in self.positions.values())

    def copy_from_files(self, folder: Path) -> None:
        """Copy missing rows from the files of a folder that have not been read yet."""
        for path in sorted(set(folder.glob("[!.]*.safetensors")) - self.read):
            if not self.positions:
                return
            self.read.add(path)
            stored = _read_tensors(path)
            if stored is None or len(stored.get("names", ())) != len(stored["features"]):
                continue
            digests = stored["names"].numpy().tobytes()
            starts = range(0, len(digests), NAME_BYTES)
            names = [digests[start : start + NAME_BYTES] for start in starts]
            if self.copy(names, stored["features"]):  # a file that provided no row stays unused
                _mark_used(path)

    def copy(self, names: Sequence[bytes], features: Tensor) -> bool:
        """Copy the missing rows among the named rows (m, e); returns whether there were any."""
        targets: list[int] = []
        sources: list[int] = []
        for row, name in enumerate(names):
            positions = self.positions.pop(name, [])
            targets += positions
            sources += [row] * len(positions)
        if targets:
            if self.rows is None:
                self.rows = torch.empty(self.total, features.shape[1])
            self.rows[targets] = features[sources]
        return bool(targets)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases if the process dies.

    If the lock cannot be obtained, continue without it: at worst, work is done twice.
    """
    lock = filelock.FileLock(folder / ".lock", timeout=WAIT_SECONDS)
    with suppress(OSError, NotImplementedError):  # Timeout is an OSError
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
