"""Files of stored features: how large they are, how old, which of them are damaged.

Stored features are safetensors files. The metadata of each says what its features show, and holds
a digest. Whoever uses a file sets its time of change, so the oldest is the least recently used.
Needs no torch.
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
"""Kind of a file that is not one of stored features as this version writes them."""


@dataclass(frozen=True)
class StoredFile:
    """A file of stored features."""

    path: Path
    size: int
    used: float
    """When it was made or last served, in seconds of `time.time`."""

    @property
    def kind(self) -> str:
        """What it is of: 'images', 'views' (augmented), 'texts', 'parts' of images, 'proposals'."""
        if self.path.suffix == ".npz":
            return "proposals"
        try:
            with safe_open(self.path, framework="numpy") as file:
                return str((file.metadata() or {}).get("kind", FOREIGN))
        except (OSError, SafetensorError):
            return FOREIGN


def features_folder(cache: Path) -> Path:
    """Where features are below the cache's folder."""
    return cache / "features"


def stored_files(cache: Path) -> list[StoredFile]:
    """All files of stored features, least recently used first.

    What is being written is none of them, but what a writer left that died is.
    """
    found = []
    for path in features_folder(cache).rglob("*"):
        with suppress(OSError):  # another process removed it
            facts = path.stat()
            unfinished = path.name.startswith(".")  # written now, or a lock
            stale = path.suffix == ".tmp" and time.time() - facts.st_mtime > STALE_SECONDS
            if path.is_file() and (not unfinished or stale):
                found.append(StoredFile(path, facts.st_size, facts.st_mtime))
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def surplus(
    found: Sequence[StoredFile], max_size: int | None = None, unused_since: float | None = None
) -> list[StoredFile]:
    """What has to go, of stored_files sorted by use, so that the rest is no larger and no older."""
    over = sum(entry.size for entry in found) - max_size if max_size is not None else 0
    gone = []
    for entry in found:
        if over > 0 or (unused_since is not None and entry.used < unused_since):
            gone.append(entry)
            over -= entry.size
    return gone


def remove(gone: Iterable[StoredFile]) -> None:
    """Unlink the files, and folders of which nothing is left.

    A process that has a file mapped keeps its pages: the system frees them when it is done.
    """
    for entry in gone:
        with suppress(OSError):  # another process was faster
            entry.path.unlink()
        with suppress(OSError):  # not empty
            entry.path.parent.rmdir()


def problems(found: Iterable[StoredFile]) -> Iterator[Problem | None]:
    """What is wrong with each file, None if nothing is; reads all of it."""
    for entry in found:
        try:
            reason = _reason(entry.path)
        except FileNotFoundError:  # pruned meanwhile
            reason = ""
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        except (SafetensorError, ValueError, BadZipFile, zlib.error) as error:
            reason = f"no whole file of features: {error}"
        yield Problem(entry.path, reason) if reason else None


def _reason(path: Path) -> str:
    if path.suffix == ".tmp":
        return "left by a writer that died"
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
        return "says no digest: not made by this version"
    if metadata["sha256"] != arrays_digest(arrays):
        return "its content is not what was written"
    return ""


def arrays_digest(arrays: dict[str, Any]) -> str:
    """SHA-256 of numpy arrays under their names."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}\n".encode())
        found.update(array.data if array.flags.c_contiguous else array.tobytes())
    return found.hexdigest()
