"""Features of frozen towers and proposals on disk, addressed by all that made them; safe to delete.

All files are written whole. Features are memory-mapped files of safetensors:

    features/<ab>/<key>.safetensors          one array that is asked for as a whole
    features/<ab>/<key>/<rows>.safetensors   some of the rows of a key, with the digests of their
                                             names: any list of rows is put together from them

    features/<ab>/<key>.npz                  other arrays, compressed

So an image that any list held before passes the tower no second time, in whatever company it is
asked for. Rows that take long are kept piece by piece, so a kill does not lose them all.
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
"""Another process that computes the same is waited for this long; then the work is done twice."""

SAVE_SECONDS = 30.0
"""A kill loses at most this much of the work on the rows of a list, and the block at hand."""

NAME_BYTES = 16
"""Of the SHA-256 of a row's name."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FeatureStore:
    """Arrays of unit features; several processes may use one folder."""

    folder: Path
    """The cache's."""
    limit: int | None = None
    """Bytes; the least recently used files go when a new one exceeds it."""

    def path(self, key: Mapping[str, object]) -> Path:
        """Where the array of this key is, whether it exists or not; without suffix, its rows."""
        name = digest({name: str(value) for name, value in key.items()}, 32)
        return features_folder(self.folder) / name[:2] / f"{name}.safetensors"

    def get(self, key: Mapping[str, object], rows: int, compute: Callable[[], Tensor]) -> Tensor:
        """The (rows, e) float32 array of `key`; `compute` runs only if it is not there yet.

        A file that cannot be read, or has another number of rows, is made again: the store is a
        cache, and a bad file in it must never become a number.
        """
        path = self.path(key)
        stored = _read(path)
        if stored is not None and len(stored["features"]) == rows:
            _mark_used(path)
            return stored["features"]
        features = compute().detach().to("cpu", torch.float32)
        self._write(path, key, {"features": features})
        self._make_room(path)
        return features

    def arrays(self, key: Mapping[str, object], compute: Callable[[], Arrays]) -> Arrays:
        """Several arrays of any shape under one `key`, compressed; as `get` for the rest."""
        path = self.path(key).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = {name: stored[name] for name in stored.files}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, EOFError, BadZipFile, zlib.error):
            path.unlink(missing_ok=True)
        else:
            _mark_used(path)
            return found
        made = compute()
        self._place(path, lambda temporary: _compress(temporary, made))
        self._make_room(path)
        return made

    def rows(
        self,
        key: Mapping[str, object],
        names: Sequence[str],
        compute: Callable[[Sequence[int]], Iterable[Tensor]],
    ) -> Tensor:
        """The (n, e) float32 rows of these names, each computed once under one key.

        `compute` gets the positions of those that are not there and gives their rows in blocks.
        Another process that is at the same key is waited for.
        """
        folder = self.path(key).with_suffix("")
        wanted = [_name(name) for name in names]
        whole = _read(folder / _part(wanted))
        if whole is not None and len(whole["features"]) == len(wanted):
            _mark_used(folder / _part(wanted))
            return whole["features"]  # as one of the lists before: mapped, nothing is copied
        gathered = _Gathered(wanted)
        gathered.add_all(folder)
        if gathered.missing:
            with _alone(folder.parent):
                gathered.add_all(folder)  # what another process made meanwhile
                if missing := gathered.missing:
                    fresh = [wanted[at] for at in missing]
                    computed = self._computed(folder, key, fresh, compute(missing))
                    if len(missing) == len(wanted):
                        return computed
                    gathered.take(fresh, computed)
        assert gathered.rows is not None
        return gathered.rows

    def _computed(
        self,
        folder: Path,
        key: Mapping[str, object],
        names: Sequence[bytes],
        blocks: Iterable[Tensor],
    ) -> Tensor:
        """All blocks in one, and in one file; until that is there, in files of their own."""
        parts: list[Tensor] = []
        pieces: list[Path] = []
        first, kept, done, saved = 0, 0, 0, time.monotonic()
        for block in blocks:
            parts.append(block.detach().to("cpu", torch.float32))
            done += len(block)
            if kept < done < len(names) and time.monotonic() - saved > SAVE_SECONDS:
                piece = torch.cat(parts[first:])
                pieces.append(self._keep(folder, key, names[kept:done], piece))
                self._make_room(pieces[-1])
                first, kept, saved = len(parts), done, time.monotonic()
        computed = torch.cat(parts)
        path = self._keep(folder, key, names, computed)
        if path.exists():
            for piece_path in pieces:  # before room is made: they need none any more
                with suppress(OSError):
                    piece_path.unlink()
        self._make_room(path)
        return computed

    def _keep(
        self, folder: Path, key: Mapping[str, object], names: Sequence[bytes], features: Tensor
    ) -> Path:
        digests = np.frombuffer(b"".join(names), np.uint8).reshape(-1, NAME_BYTES).copy()
        parts = {"features": features, "names": torch.from_numpy(digests)}
        path = folder / _part(names)
        self._write(path, key, parts)
        return path

    def _write(self, path: Path, key: Mapping[str, object], parts: dict[str, Tensor]) -> None:
        parts = {name: part.contiguous() for name, part in parts.items()}
        metadata = {name: str(value) for name, value in key.items()}
        metadata["sha256"] = arrays_digest({name: part.numpy() for name, part in parts.items()})
        self._place(path, lambda temporary: save_file(parts, temporary, metadata))

    def _place(self, path: Path, save: Callable[[Path], None]) -> None:
        """Put a file in its place; a disk that is full or read-only costs only its use."""
        try:
            with replacing(path) as temporary:
                save(temporary)
        except (OSError, SafetensorError) as error:
            warnings.warn(f"features are not kept in {self.folder}: {error}", stacklevel=4)

    def _make_room(self, path: Path) -> None:
        """Remove what exceeds the limit, the least recently used first; the new file stays."""
        if self.limit is None:
            return
        with suppress(OSError):  # the file could not be kept, or another process removed it
            size = path.stat().st_size
            others = [entry for entry in stored_files(self.folder) if entry.path != path]
            remove(surplus(others, self.limit - size))


def _compress(path: Path, arrays: Arrays) -> None:
    with path.open("xb") as file:  # a path would be given the suffix once more
        np.savez_compressed(file, **dict[str, Any](arrays))


def _mark_used(path: Path) -> None:
    """The least recently used go first."""
    with suppress(OSError):  # the folder of another person, which can only be read
        os.utime(path)


def _part(names: Sequence[bytes]) -> str:
    """File name of rows in this order; equal rows have one place, whoever writes them."""
    return hashlib.sha256(b"".join(names)).hexdigest()[:32] + ".safetensors"


def _name(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:NAME_BYTES]


def _read(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file, mapped so that nobody can write back; None if there is none.

    A file that is damaged is removed. Whoever uses what is in it marks it as used.
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


class _Gathered:
    """Rows put together from several files."""

    def __init__(self, wanted: Sequence[bytes]) -> None:
        self.rows: Tensor | None = None
        """(n, e); None as long as no row is known."""
        self.places: dict[bytes, list[int]] = {}
        """Of the names whose rows are missing."""
        for at, name in enumerate(wanted):
            self.places.setdefault(name, []).append(at)
        self.total = len(wanted)
        self.seen: set[Path] = set()
        """Files that were taken from."""

    @property
    def missing(self) -> list[int]:
        """Positions of missing rows, in order; the first one of each name."""
        return sorted(places[0] for places in self.places.values())

    def add_all(self, folder: Path) -> None:
        """Take what those files of a folder hold that were not taken from yet."""
        for path in sorted(set(folder.glob("[!.]*.safetensors")) - self.seen):
            if not self.places:
                return
            self.seen.add(path)
            stored = _read(path)
            if stored is None or len(stored.get("names", ())) != len(stored["features"]):
                continue
            names = stored["names"].numpy().tobytes()
            each = [names[at : at + NAME_BYTES] for at in range(0, len(names), NAME_BYTES)]
            if self.take(each, stored["features"]):  # not for rows that nobody asks for any more
                _mark_used(path)

    def take(self, names: Sequence[bytes], features: Tensor) -> bool:
        """Copy those of the named rows (m, e) that are missing; whether any was."""
        to: list[int] = []
        source: list[int] = []
        for row, name in enumerate(names):
            places = self.places.pop(name, [])
            to += places
            source += [row] * len(places)
        if to:
            if self.rows is None:
                self.rows = torch.empty(self.total, features.shape[1])
            self.rows[to] = features[source]
        return bool(to)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system takes from a process that dies.

    Where a lock cannot be had, go on without: nothing but time is lost.
    """
    lock = filelock.FileLock(folder / ".lock", timeout=WAIT_SECONDS)
    with suppress(OSError, NotImplementedError):  # Timeout is an OSError
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
