"""The files of stored features: their size, kind and last use, and which of them are damaged.

Features are stored as safetensors files whose metadata holds their key and a digest of the
content. Every use of a file sets its modification time, so the oldest file is the least recently
used. Loads no torch.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from safetensors import SafetensorError, safe_open

from rppbench.files.atomic import STALE_SECONDS, Problem

FOREIGN = "unknown"
"""Kind of a file that was not written by this version of the store."""


@dataclass(frozen=True)
class StoredFile:
    """A file of stored features."""

    path: Path
    size: int
    """Bytes."""
    used: float
    """When it was written or last used, in seconds of `time.time`."""

    @property
    def kind(self) -> str:
        """'images', 'views' (augmented), 'norms' of both, 'texts', 'parts' of images, 'proposals',
        or `FOREIGN`.
        """
        if self.path.suffix == ".npz":
            return "proposals"
        try:
            with safe_open(self.path, framework="numpy") as file:
                return str((file.metadata() or {}).get("kind", FOREIGN))
        except (OSError, SafetensorError):
            return FOREIGN


def features_folder(cache: Path) -> Path:
    """The folder of stored features in the cache folder."""
    return cache / "features"


def stored_files(cache: Path) -> list[StoredFile]:
    """All files of stored features, least recently used first.

    Files that are being written are left out; temporary files of a killed writer are not.
    """
    files = []
    for path in features_folder(cache).rglob("*"):
        with suppress(OSError):  # another process removed it
            stat = path.stat()
            unfinished = path.name.startswith(".")  # being written, or a lock
            stale = path.suffix == ".tmp" and time.time() - stat.st_mtime > STALE_SECONDS
            if path.is_file() and (not unfinished or stale):
                files.append(StoredFile(path, stat.st_size, stat.st_mtime))
    return sorted(files, key=lambda file: (file.used, file.path))


def surplus(
    files: Sequence[StoredFile], max_size: int | None = None, unused_since: float | None = None
) -> list[StoredFile]:
    """The files to remove: those not used since `unused_since`, and the oldest beyond `max_size`.

    The other files hold at most `max_size` bytes. `files` are sorted as by `stored_files`;
    `unused_since` is in seconds of `time.time`.
    """
    excess = sum(file.size for file in files) - max_size if max_size is not None else 0
    to_remove = []
    for file in files:
        if excess > 0 or (unused_since is not None and file.used < unused_since):
            to_remove.append(file)
            excess -= file.size
    return to_remove


def remove(files: Iterable[StoredFile]) -> None:
    """Delete the files, and the folders that become empty.

    A process that has a file mapped keeps its pages: the system frees them when it is done.
    """
    for file in files:
        with suppress(OSError):  # another process was faster
            file.path.unlink()
        with suppress(OSError):  # not empty
            file.path.parent.rmdir()


def problems(files: Iterable[StoredFile]) -> Iterator[Problem | None]:
    """One value for each file: its problem, or None if it is intact. Reads the complete files."""
    for file in files:
        try:
            reason = _problem(file.path)
        except FileNotFoundError:  # removed by another process
            reason = ""
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        except (
            SafetensorError,
            ValueError,
            EOFError,
            NotImplementedError,
            BadZipFile,
            zlib.error,
        ) as error:
            reason = f"not a complete file of features: {error}"
        yield Problem(file.path, reason) if reason else None


def _problem(path: Path) -> str:
    """The problem of a file; '' if it is intact."""
    if path.suffix == ".tmp":
        return "left by a process that was killed while writing"
    if path.suffix == ".npz":
        import numpy as np  # slow to import, and nothing else here needs it

        with np.load(path, allow_pickle=False) as stored:  # each array has a checksum
            for name in stored.files:
                stored[name]
        return ""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if "sha256" not in metadata:
        return "holds no digest: not written by this version"
    if metadata["sha256"] != arrays_digest(arrays):
        return "its content has another digest than when it was written"
    return ""


def arrays_digest(arrays: dict[str, Any]) -> str:
    """SHA-256 of numpy arrays with their names, types and shapes."""
    sha = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype} {array.shape}\n".encode())
        sha.update(array.data if array.flags.c_contiguous else array.tobytes())
    return sha.hexdigest()
