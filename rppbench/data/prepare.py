"""Fetch the files of a data set and put them where its reader looks.

Everything is fetched and unpacked in a hidden folder below the root, and moved to its place when it
is complete; existing files are never written to. A kill costs at most the archive that was being
unpacked; the same command continues with what was fetched.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from rppbench.contracts.dataset import BeginStep, Dataset, ReportProgress, SourceFile
from rppbench.data.archives import ArchiveError, copy_tree, is_archive, unpack
from rppbench.data.download import DRIVE, FetchError, fetch, verify
from rppbench.errors import UsageError

SCRATCH = ".rppbench-prepare"
"""Working folder below the root; removed when everything is in place."""
HUB = "hf:"


@dataclass(frozen=True)
class Given:
    """The files that the user named with `--from`, and their digest if given."""

    places: Sequence[str] = ()
    """Addresses, files, folders, or 'hf:ORG/NAME' of the Hugging Face hub."""
    md5: str = ""
    sha256: str = ""
    """Digests of the single named file; they replace the known digests."""

    @property
    def digest(self) -> bool:
        """Whether a digest is given."""
        return bool(self.md5 or self.sha256)


def prepare(component: type[Dataset], root: Path, given: Given, begin_step: BeginStep) -> list[str]:
    """Put the missing files of a data set below a root; returns the files that failed, and why.

    Raises UsageError if nothing could be done, ArchiveError for an archive that is refused.
    """
    if not component.sources:
        raise UsageError(f"{component.name} needs no files")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _scratch(root, component.name) as scratch:
            return _prepare(component, root, scratch, given, begin_step)
    except OSError as error:
        raise UsageError(f"cannot write below {root}: {error}") from error


@contextmanager
def _scratch(root: Path, name: str) -> Iterator[Path]:
    """The working folder, locked. UsageError if another process uses it."""
    folder = root / SCRATCH / name
    folder.mkdir(parents=True, exist_ok=True)
    with (root / SCRATCH / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"{name} is being prepared in {root} by another process") from None
        yield folder


def _prepare(
    component: type[Dataset], root: Path, scratch: Path, given: Given, begin_step: BeginStep
) -> list[str]:
    files = scratch / "files"
    files.mkdir(exist_ok=True)
    problems = []
    if component.lacks(root):
        named, copies = _sort_out(component, given, files, begin_step)
        for place in copies:
            with _discarded(place, files):
                _take_copy(component, place, root, scratch, begin_step)
        for source in component.lacks(root):
            file = named.get(source.filename)
            try:
                if file is None:
                    file = _fetched(source, files, begin_step)
                elif not given.digest:
                    _check_given(file, source)
            except FetchError as error:
                problems.append(f"{source.gives}: {error}")
                continue
            if file is not None:
                with _discarded(file, files):
                    _take(component, file, source, root, scratch, begin_step)
                if file.parent == files:
                    file.unlink()
    if not problems:
        shutil.rmtree(scratch)
        (root / SCRATCH / f"{component.name}.lock").unlink(missing_ok=True)
        with suppress(OSError):  # another data set is being prepared
            (root / SCRATCH).rmdir()
    return problems


@contextmanager
def _discarded(file: Path, files: Path) -> Iterator[None]:
    """Remove a fetched archive that is refused, so that it is fetched again the next time."""
    try:
        yield
    except ArchiveError:
        if file.parent == files:
            file.unlink(missing_ok=True)
        raise


def _sort_out(
    component: type[Dataset], given: Given, files: Path, begin_step: BeginStep
) -> tuple[dict[str, Path], list[Path]]:
    """The given files of the data set by name, and the given copies of the complete data set."""
    known = {source.filename for source in component.sources}
    named: dict[str, Path] = {}
    copies: list[Path] = []
    if given.digest and len(given.places) != 1:
        raise UsageError("a digest belongs to a single file: name exactly one with --from")
    for place in given.places:
        path = _local(place, files, begin_step)
        if given.digest:
            _check_given(path, SourceFile("", "", md5=given.md5, sha256=given.sha256))
        if path.is_dir():
            inside = {file.name: file for file in path.iterdir() if file.name in known}
            named |= inside
            copies += [] if inside else [path]
        elif path.name in known:
            named[path.name] = path
        elif is_archive(path):
            copies.append(path)
        else:
            names = ", ".join(sorted(known - {""}))
            raise UsageError(
                f"{path} is not an archive (zip, tar) and not named as a file of "
                f"{component.name}: {names}"
            )
    return named, copies


def _local(place: str, files: Path, begin_step: BeginStep) -> Path:
    """The local path of a given place; a remote file is fetched first."""
    if place.startswith(HUB):
        return _from_hub(place.removeprefix(HUB), files / "hub")
    if place.startswith(DRIVE) or urlsplit(place).scheme in ("http", "https"):
        to = files / (PurePosixPath(urlsplit(place).path).name or "file")
        fetch(place, to, begin_step(f"fetch {to.name}"))
        return to
    path = Path(place).expanduser()
    if not path.exists():
        raise UsageError(f"--from: no file or folder {path}")
    return path.resolve()


def _from_hub(name: str, to: Path) -> Path:
    """The files of a data set on the Hugging Face hub, whose client resumes by itself."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, repo_type="dataset", local_dir=to))
    except Exception as error:  # its client raises many kinds of errors
        raise UsageError(f"cannot fetch hf:{name}: {error}") from error


def _fetched(source: SourceFile, files: Path, begin_step: BeginStep) -> Path | None:
    """The verified file of a source; None if only a person can get it."""
    to = files / source.filename
    failed = []
    for address in source.addresses:
        try:
            fetch(address, to, begin_step(f"fetch {to.name}"))
            verify(to, source)
        except FetchError as error:
            failed.append(str(error))
            to.unlink(missing_ok=True)  # its content is wrong; a partial file stays
        else:
            return to
    if failed:
        raise FetchError("\n".join(failed))
    return None


def _check_given(file: Path, source: SourceFile) -> None:
    """UsageError if the user's file does not have the known digest."""
    if file.is_dir():
        raise UsageError(f"{file} is a folder, but a digest belongs to a file")
    try:
        verify(file, source)
    except FetchError as error:
        raise UsageError(f"{error}\nto use it anyway, give its own digest with --sha256") from error


def _take(
    component: type[Dataset],
    file: Path,
    source: SourceFile,
    root: Path,
    scratch: Path,
    begin_step: BeginStep,
) -> None:
    """Unpack or copy a file of the data set, and move the result to its place."""
    tree = _empty(scratch / "tree")
    if source.into:
        report = begin_step(f"unpack {file.name}")
        unpack(file, tree / source.into, report, source.inside, source.nested)
    else:
        (tree / source.gives).parent.mkdir(parents=True)
        shutil.copyfile(file, tree / source.gives)
    if source in component.lacks(tree):
        top = tree / (source.into or ".")
        shown = ", ".join(sorted(path.name for path in top.iterdir())[:5])
        raise UsageError(f"{file} does not hold {source.gives}, but {shown}")
    _place(tree, PurePosixPath(source.into or source.gives), source.gives, root)


def _take_copy(
    component: type[Dataset], place: Path, root: Path, scratch: Path, begin_step: BeginStep
) -> None:
    """Take the data set's folder from a copy: an archive or a folder of any name."""
    top = PurePosixPath(component.sources[0].gives).parts[0]
    tree, raw = _empty(scratch / "tree"), _empty(scratch / "raw")
    report: ReportProgress = begin_step(f"copy {place.name}")
    if place.is_dir():
        copy_tree(place / top if (place / top).is_dir() else place, raw, report)
    else:
        unpack(place, raw, report)
    os.rename(raw / top if (raw / top).is_dir() else raw, tree / top)
    before = component.lacks(root)
    lacking = component.lacks(tree)
    given = [source for source in before if source not in lacking]
    if before and not given:
        shown = ", ".join(sorted(path.name for path in (tree / top).iterdir())[:5])
        raise UsageError(
            f"{place} holds nothing that {component.name} lacks, but {shown}\n"
            f"wanted: {', '.join(source.gives for source in before)}"
        )
    _place(tree, PurePosixPath(top), "", root)


def _place(tree: Path, into: PurePosixPath, last: str, root: Path) -> None:
    """Move the contents of `tree / into` to the same place below the root; existing entries stay.

    `last` is moved last: once it exists, so do all the others.
    """
    target = root / into
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(tree / into, target)
        return
    entries = sorted((tree / into).iterdir()) if target.is_dir() else []
    entries.sort(key=lambda path: PurePosixPath(last).is_relative_to(path.relative_to(tree)))
    for entry in entries:
        if not os.path.lexists(target / entry.name):
            os.rename(entry, target / entry.name)


def _empty(folder: Path) -> Path:
    """An empty folder; the remains of an interrupted attempt are removed."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
