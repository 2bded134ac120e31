"""Untrusted archives: unpacked only below one folder, and within size limits.

Only regular files and folders are unpacked. An archive is refused if it holds a link, a device, a
path out of the folder or a name twice, or if it expands further than images can. For a tar, the
standard library decides which paths lead out of the folder (`tarfile.data_filter`, PEP 706);
zipfile has no such filter.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NamedTuple, cast

from rppbench.contracts.dataset import ReportProgress
from rppbench.data.download import BLOCK, check_space
from rppbench.errors import UsageError

MEMBERS = 2_000_000
"""Maximum files in an archive; ImageNet has 1.3 million."""
EXPANSION, SLACK = 10, 2**27
"""An archive unpacks to at most EXPANSION times its bytes plus SLACK: images hardly compress."""
OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""By the first bytes of a file; its name proves nothing."""


NOT_REGULAR = "which is not a regular file"
OUTSIDE = "a path that leads out of its folder"


class ArchiveError(UsageError):
    """An archive that is damaged, or refused because of what it holds."""


class Member(NamedTuple):
    """A regular file in an archive."""

    name: str
    size: int
    data: IO[bytes]


def is_archive(file: Path) -> bool:
    """Whether a file is a zip or a tar, by its content."""
    return zipfile.is_zipfile(file) or _is_tar(file)


def unpack(
    archive: Path, to: Path, report: ReportProgress, inside: str = "", nested: tuple[str, ...] = ()
) -> None:
    """Unpack into a folder: all of the archive, or only its folder `inside`.

    `nested` archives are unpacked into the same folder and removed. Raises ArchiveError, after
    which the caller must discard `to`, and UsageError if the disk is full.
    """
    limit = EXPANSION * archive.stat().st_size + SLACK
    members_of = _zip if zipfile.is_zipfile(archive) else _tar
    written, files, top_names = 0, 0, set()
    to.mkdir(parents=True, exist_ok=True)
    check_space(to, archive.stat().st_size, f"unpacking {archive.name}")
    try:
        for count, member in enumerate(members_of(archive, to, limit, report), 1):
            path = _safe(member.name, archive)
            top_names.add(path.parts[0])
            if count > MEMBERS:
                raise ArchiveError(f"{archive} holds more than {MEMBERS:,} files")
            if inside:
                if not path.is_relative_to(inside) or path == PurePosixPath(inside):
                    continue
                path = path.relative_to(inside)
            written += _write(member, to / path, limit - written, archive)
            files += 1
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:  # an error of the disk, not of the archive
            raise ArchiveError(f"cannot unpack {archive}: {error}") from error
        raise ArchiveError(f"{archive} is damaged: {error}") from error
    except (tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{archive} is damaged: {error}") from error
    if not files:
        names = ", ".join(sorted(top_names)[:5]) or "nothing"
        raise ArchiveError(
            f"{archive} holds no files{f' in {inside}' if inside else ''}, but {names}"
        )
    for name in nested:
        inner = to / name
        if not inner.is_file():
            raise ArchiveError(f"{archive} does not hold {name}")
        unpack(inner, to, report)
        inner.unlink()


def _safe(name: str, archive: Path) -> PurePosixPath:
    """The path of a member. ArchiveError if it leads out of the folder on any system."""
    path, foreign = PurePosixPath(name), PureWindowsPath(name)
    if not path.parts or path.is_absolute() or foreign.anchor or ".." in foreign.parts:
        raise ArchiveError(f"{archive} holds {name!r}, {OUTSIDE}")
    if not name.isprintable():
        raise ArchiveError(f"{archive} holds {name!r}, a name with unprintable characters")
    return path


def _write(member: Member, to: Path, limit: int, archive: Path) -> int:
    """Copy a member to a new file; returns the number of bytes."""
    if member.size > limit:
        raise ArchiveError(_too_large(archive))
    to.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    try:
        out = to.open("xb")
    except FileExistsError:
        raise ArchiveError(f"{archive} holds {member.name!r} twice") from None
    with out:
        while block := member.data.read(BLOCK):
            written += len(block)
            if written > limit:
                raise ArchiveError(_too_large(archive))
            if written > BLOCK:  # asking before each of many small files would be slow
                check_space(to.parent, len(block), f"unpacking {archive.name}")
            out.write(block)
    return written


def _too_large(archive: Path) -> str:
    return f"{archive} unpacks to more than {EXPANSION} times its size; no archive of images does"


def _zip(archive: Path, to: Path, limit: int, report: ReportProgress) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        entries = opened.infolist()
        if len(entries) > MEMBERS:
            raise ArchiveError(f"{archive} holds more than {MEMBERS:,} files")
        total = sum(entry.file_size for entry in entries)
        if total > limit:
            raise ArchiveError(_too_large(archive))
        check_space(archive.parent, total, f"unpacking {archive.name}")
        for done, entry in enumerate(entries, 1):
            report(done, len(entries))
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveError(f"{archive} holds {entry.filename!r}, {NOT_REGULAR}")
            if entry.is_dir():
                continue
            with opened.open(entry) as data:
                yield Member(entry.filename, entry.file_size, data)


def _tar(archive: Path, to: Path, limit: int, report: ReportProgress) -> Iterator[Member]:
    size = archive.stat().st_size
    with archive.open("rb") as raw:
        start = raw.read(6)
        raw.seek(0)
        opener = next((by for magic, by in OPENERS.items() if start.startswith(magic)), None)
        plain = opener(raw) if opener else raw
        with tarfile.open(
            fileobj=cast("IO[bytes]", _Bounded(plain, limit, archive)), mode="r|"
        ) as opened:
            for entry in opened:
                report(raw.tell(), size)
                _filter(entry, to, archive)
                if entry.isdir():
                    continue
                if not entry.isreg():  # including links within the folder: no data set needs them
                    raise ArchiveError(f"{archive} holds {entry.name!r}, {NOT_REGULAR}")
                data = opened.extractfile(entry)
                assert data is not None, entry.name
                yield Member(entry.name, entry.size, data)


def _filter(entry: tarfile.TarInfo, to: Path, archive: Path) -> None:
    """ArchiveError for an entry that the standard library's data filter refuses."""
    try:
        tarfile.data_filter(entry, str(to))
    except (tarfile.AbsoluteLinkError, tarfile.LinkOutsideDestinationError) as error:
        what = f"a link to {entry.linkname!r}, which leads out of its folder"
        raise ArchiveError(f"{archive} holds {entry.name!r}, {what}") from error
    except tarfile.SpecialFileError as error:
        raise ArchiveError(f"{archive} holds {entry.name!r}, {NOT_REGULAR}") from error
    except tarfile.FilterError as error:
        raise ArchiveError(f"{archive} holds {entry.name!r}, {OUTSIDE}") from error


class _Bounded:
    """A file that raises ArchiveError after `limit + SLACK` bytes: headers may expand as well."""

    def __init__(self, file: IO[bytes], limit: int, archive: Path) -> None:
        self.file, self.left, self.archive = file, limit + SLACK, archive

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        block = self.file.read(size)
        self.left -= len(block)
        if self.left < 0:
            raise ArchiveError(_too_large(self.archive))
        return block


def _is_tar(file: Path) -> bool:
    try:
        with tarfile.open(file) as opened:
            return opened.next() is not None
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def copy_tree(folder: Path, to: Path, report: ReportProgress) -> None:
    """Copy the regular files of a folder. ArchiveError for a link that leads out of it."""
    files = [path for path in sorted(folder.rglob("*")) if not path.is_dir()]
    home = folder.resolve()
    for path in files:
        if not path.resolve().is_relative_to(home) or not path.is_file():
            raise ArchiveError(f"{path} is not a regular file of {folder}")
    to.mkdir(parents=True, exist_ok=True)
    check_space(to, sum(path.stat().st_size for path in files), f"copying {folder}")
    for done, path in enumerate(files, 1):
        target = to / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        report(done, len(files))
