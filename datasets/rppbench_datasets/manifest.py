"""A manifest: an index of class folders, so that millions of images are listed only once.

It is stored in the cache folder, one file for a root and its parts; nothing is written below the
root. Opening it reads the modification times of the folders, never of the files, and lists again
only folders that changed. It is built folder by folder and read as a memory-mapped file.

The file: `MAGIC`, the image names of one folder after the other (UTF-8, sorted, each ended by a
zero byte), a JSON table of the folders, and in the last 8 bytes the length of the table.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

from rppbench import cache_folder
from rppbench.contracts import ReportProgress, Sample
from rppbench.errors import MissingDataError, UsageError
from rppbench_datasets.image_files import is_image_file

MAGIC = b"rppbench manifest 1\n"
END = b"\0"
SETTLED = 2.0
"""Seconds after which a further change is certain to give a folder a new time stamp."""

UNSETTLED = 0
"""Time stamp of a folder that may change again without a new time stamp: always listed again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Folder:
    """A class folder, and where its image names are in the manifest."""

    path: str
    """Below the root, with '/'."""
    stamp: int
    """Modification time before it was listed, ns, or `UNSETTLED`."""
    count: int
    """Number of images."""
    start: int
    stop: int
    """Bytes of the image names in the manifest: from `start` to `stop`."""


@dataclass(frozen=True)
class ScannedFolder:
    """A folder that was listed: its image names as they are written to the manifest."""

    path: str
    stamp: int
    names: bytes


class Manifest:
    """An open manifest. ValueError or OSError for a file that is invalid or incomplete."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with open(file, "rb") as opened:
            self._bytes = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        size = len(self._bytes)
        length = int.from_bytes(self._bytes[-8:], "little")
        if self._bytes[: len(MAGIC)] != MAGIC or length > size - len(MAGIC) - 8:
            raise ValueError(f"{file} is not a manifest")
        table = json.loads(self._bytes[size - 8 - length : size - 8])
        self.digest: str = table["digest"]
        """SHA-256 of all paths and names, not of the time stamps."""
        self.folders = [Folder(*row) for row in table["folders"]]

    def __reduce__(self) -> tuple[Any, ...]:
        return Manifest, (self.file,)  # a worker opens the file itself

    def names(self, folder: Folder) -> list[str]:
        """File names of the images in a folder, sorted."""
        return self.raw(folder).decode().split("\0")[:-1]

    def raw(self, folder: Folder) -> bytes:
        """The names as they are in the file, each ended by a zero byte."""
        return self._bytes[folder.start : folder.stop]

    def samples(self, labels: Mapping[str, int]) -> ManifestSamples:
        """Samples of the folders with these paths and labels, in the order of the manifest."""
        return ManifestSamples(
            self, [folder for folder in self.folders if folder.path in labels], labels
        )


class ManifestSamples(Sequence[Sample]):
    """A sequence of samples that are created when they are read; keys are paths below the root."""

    def __init__(
        self, manifest: Manifest, folders: Sequence[Folder], labels: Mapping[str, int]
    ) -> None:
        self.manifest, self.folders = manifest, folders
        self.labels = [labels[folder.path] for folder in folders]
        self.stops = list(accumulate(folder.count for folder in folders))
        # (number of a folder, its image names): samples are usually read in order.
        self._last: tuple[int, list[str]] = (-1, [])

    def __len__(self) -> int:
        return self.stops[-1] if self.stops else 0

    @overload
    def __getitem__(self, at: int) -> Sample: ...
    @overload
    def __getitem__(self, at: slice) -> list[Sample]: ...
    def __getitem__(self, at: int | slice) -> Sample | list[Sample]:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        index = at + len(self) if at < 0 else at
        if not 0 <= index < len(self):
            raise IndexError(at)
        number = bisect_right(self.stops, index)
        folder = self.folders[number]
        if self._last[0] != number:
            self._last = (number, self.manifest.names(folder))
        name = self._last[1][index - self.stops[number]]  # counted from the folder's end
        return Sample(f"{folder.path}/{name}", self.labels[number])

    def __iter__(self) -> Iterator[Sample]:
        for folder, label in zip(self.folders, self.labels, strict=True):
            for name in self.manifest.names(folder):
                yield Sample(f"{folder.path}/{name}", label)


def open_manifest(
    root: Path, parts: Sequence[str], report: ReportProgress | None = None
) -> Manifest:
    """The manifest of all images in ROOT/PART/FOLDER/*, built or updated if needed.

    MissingDataError for a part that is missing or a name that is not UTF-8; UsageError if the
    cache cannot be written.
    """
    file = index_path(root, parts)
    old = None
    with suppress(OSError, ValueError, KeyError, TypeError):  # an invalid file is replaced
        old = Manifest(file)
    stamped = [row for part in parts for row in class_folders(root, part)]
    known = {(folder.path, folder.stamp): folder for folder in old.folders} if old else {}
    unchanged = {row for row in stamped if row in known and row[1] != UNSETTLED}
    if old and len(unchanged) == len(stamped) == len(old.folders):
        return old
    log.warning("listing %d folders of %s, kept in %s", len(stamped) - len(unchanged), root, file)
    listed = (
        ScannedFolder(*row, old.raw(known[row])) if old and row in unchanged else _scan(root, *row)
        for row in stamped
    )
    try:
        write_manifest(file, listed if report is None else _reporting(listed, len(stamped), report))
    except OSError as error:
        raise UsageError(
            f"cannot write the index {file}: {error.strerror}\n"
            "set RPPBENCH_CACHE to a folder that can be written"
        ) from error
    return Manifest(file)


def _reporting(
    listed: Iterable[ScannedFolder], total: int, report: ReportProgress
) -> Iterator[ScannedFolder]:
    """The folders as they are listed; `report(done, total)` is called after each."""
    for done, folder in enumerate(listed, 1):
        yield folder
        report(done, total)


def index_path(root: Path, parts: Sequence[str]) -> Path:
    """Where the manifest of these parts of a root is, or would be."""
    identity = json.dumps([os.fspath(root.resolve()), list(parts)])
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    return cache_folder() / "manifests" / f"{name}.manifest"


def class_folders(root: Path, part: str) -> list[tuple[str, int]]:
    """(path, time stamp) of the folders in a part, sorted; hidden folders are left out."""
    try:
        with os.scandir(root / part) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
            names = sorted(entry.name for entry in visible if entry.is_dir())
    except OSError as error:
        raise MissingDataError(f"cannot list {root / part}: {error.strerror}") from error
    check_text(END.join(map(os.fsencode, names)), root / part)
    return [(f"{part}/{name}", _stamp(root / part / name)) for name in names]


def write_manifest(file: Path, folders: Iterable[ScannedFolder]) -> None:
    """Write a manifest, one folder at a time; an existing file is replaced at the end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(MAGIC)
            at, rows, digest = len(MAGIC), [], hashlib.sha256()
            for listed in folders:
                stop = at + len(listed.names)
                row = Folder(listed.path, listed.stamp, listed.names.count(END), at, stop)
                rows.append(astuple(row))
                out.write(listed.names)
                digest.update(f"{row.path}\0{row.count}\0".encode())
                digest.update(listed.names)
                at = stop
            content = {"digest": digest.hexdigest(), "folders": rows}
            table = json.dumps(content, separators=(",", ":")).encode()
            out.write(table)
            out.write(len(table).to_bytes(8, "little"))
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _stamp(folder: Path) -> int:
    """Modification time of the folder, ns; `UNSETTLED` if it changed just now."""
    try:
        changed = os.stat(folder)
    except OSError as error:
        raise MissingDataError(f"cannot read {folder}: {error.strerror}") from error
    return UNSETTLED if abs(time.time() - changed.st_mtime) < SETTLED else changed.st_mtime_ns


def _scan(root: Path, path: str, stamp: int) -> ScannedFolder:
    """List the images of a folder. MissingDataError if it cannot be read."""
    try:
        with os.scandir(os.fsencode(root / path)) as entries:
            names = sorted(e.name for e in entries if is_image_file(e.name) and e.is_file())
    except OSError as error:
        raise MissingDataError(f"cannot list {root / path}: {error.strerror}") from error
    block = b"".join(name + END for name in names)
    check_text(block, root / path)
    return ScannedFolder(path, stamp, block)


def check_text(names: bytes, folder: Path) -> None:
    """MissingDataError if one of the names, each ended by a zero byte, is not UTF-8."""
    try:
        names.decode()
    except UnicodeDecodeError as error:
        start = names.rfind(END, 0, error.start) + 1
        invalid = names[start:].split(END)[0]
        raise MissingDataError(
            f"a name in {folder} is not UTF-8: {invalid!r}; rename it"
        ) from error
