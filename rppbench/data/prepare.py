"""Fetch the files of a data set and put them where its reader looks.

Everything is fetched and unpacked in a hidden folder below the root, and moved to its place when it
is whole: what stands in a place already is never written to. A kill costs at most the archive that
was being unpacked; the same command goes on with what was fetched.
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
"""Below the root; gone when all is done."""
HUB = "hf:"


@dataclass(frozen=True)
class Given:
    """What the user named with `--from`."""

    places: Sequence[str] = ()
    """Addresses, files, folders, or 'hf:ORG/NAME' of the Hugging Face hub."""
    md5: str = ""
    sha256: str = ""
    """Digests of the one file that is named; they count instead of the known ones."""

    @property
    def digest(self) -> bool:
        """Whether there is one."""
        return bool(self.md5 or self.sha256)


def prepare(component: type[Dataset], root: Path, given: Given, watch: BeginStep) -> list[str]:
    """Put what a data set lacks below a root; what could not be had, and why.

    Raises UsageError where nothing could be done, ArchiveError for an archive that is refused.
    """
    if not component.sources:
        raise UsageError(f"{component.name} is made of no files that could be fetched")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _scratch(root, component.name) as scratch:
            return _prepare(component, root, scratch, given, watch)
    except OSError as error:
        raise UsageError(f"cannot write below {root}: {error}") from error


@contextmanager
def _scratch(root: Path, name: str) -> Iterator[Path]:
    """The folder to work in; UsageError if another process does so."""
    folder = root / SCRATCH / name
    folder.mkdir(parents=True, exist_ok=True)
    with (root / SCRATCH / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"{name} is being prepared in {root} by another process") from None
        yield folder


def _prepare(
    component: type[Dataset], root: Path, scratch: Path, given: Given, watch: BeginStep
) -> list[str]:
    files = scratch / "files"
    files.mkdir(exist_ok=True)
    problems = []
    if component.lacks(root):
        named, whole = _sort_out(component, given, files, watch)
        for place in whole:
            with _thrown_away(place, files):
                _take_whole(component, place, root, scratch, watch)
        for source in component.lacks(root):
            file = named.get(source.filename)
            try:
                if file is None:
                    file = _fetched(source, files, watch)
                elif not given.digest:
                    _check_given(file, source)
            except FetchError as error:
                problems.append(f"{source.gives}: {error}")
                continue
            if file is not None:
                with _thrown_away(file, files):
                    _take(component, file, source, root, scratch, watch)
                if file.parent == files:
                    file.unlink()
    if not problems:
        shutil.rmtree(scratch)
        (root / SCRATCH / f"{component.name}.lock").unlink(missing_ok=True)
        with suppress(OSError):  # another set is being prepared
            (root / SCRATCH).rmdir()
    return problems


@contextmanager
def _thrown_away(file: Path, files: Path) -> Iterator[None]:
    """A fetched archive that is refused is fetched again the next time."""
    try:
        yield
    except ArchiveError:
        if file.parent == files:
            file.unlink(missing_ok=True)
        raise


def _sort_out(
    component: type[Dataset], given: Given, files: Path, watch: BeginStep
) -> tuple[dict[str, Path], list[Path]]:
    """What was given: files of the set by their names, and copies of the whole set."""
    known = {source.filename for source in component.sources}
    named: dict[str, Path] = {}
    whole: list[Path] = []
    if given.digest and len(given.places) != 1:
        raise UsageError("a digest is that of one file: name one with --from")
    for place in given.places:
        path = _local(place, files, watch)
        if given.digest:
            _check_given(path, SourceFile("", "", md5=given.md5, sha256=given.sha256))
        if path.is_dir():
            inside = {file.name: file for file in path.iterdir() if file.name in known}
            named |= inside
            whole += [] if inside else [path]
        elif path.name in known:
            named[path.name] = path
        elif is_archive(path):
            whole.append(path)
        else:
            names = ", ".join(sorted(known - {""}))
            raise UsageError(
                f"{path} is no archive (zip, tar), and not called as a file of "
                f"{component.name}: {names}"
            )
    return named, whole


def _local(place: str, files: Path, watch: BeginStep) -> Path:
    """A place on this disk; what is elsewhere is fetched first."""
    if place.startswith(HUB):
        return _from_hub(place.removeprefix(HUB), files / "hub")
    if place.startswith(DRIVE) or urlsplit(place).scheme in ("http", "https"):
        to = files / (PurePosixPath(urlsplit(place).path).name or "file")
        fetch(place, to, watch(f"fetch {to.name}"))
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
    except Exception as error:  # its client raises a zoo of errors
        raise UsageError(f"cannot fetch hf:{name}: {error}") from error


def _fetched(source: SourceFile, files: Path, watch: BeginStep) -> Path | None:
    """The file of a source, verified; None where only a person can get it."""
    to = files / source.filename
    failed = []
    for address in source.addresses:
        try:
            fetch(address, to, watch(f"fetch {to.name}"))
            verify(to, source)
        except FetchError as error:
            failed.append(str(error))
            to.unlink(missing_ok=True)  # of other content; a part stays
        else:
            return to
    if failed:
        raise FetchError("\n".join(failed))
    return None


def _check_given(file: Path, source: SourceFile) -> None:
    """UsageError for a file of the user's that is not the one that is known."""
    if file.is_dir():
        raise UsageError(f"{file} is a folder: a digest is that of a file")
    try:
        verify(file, source)
    except FetchError as error:
        raise UsageError(
            f"{error}\nif it is meant all the same, say so with --sha256 and its own digest"
        ) from error


def _take(
    component: type[Dataset],
    file: Path,
    source: SourceFile,
    root: Path,
    scratch: Path,
    watch: BeginStep,
) -> None:
    """Unpack or copy a file of the set, and move what it gives to its place."""
    tree = _empty(scratch / "tree")
    if source.into:
        tell = watch(f"unpack {file.name}")
        unpack(file, tree / source.into, tell, source.inside, source.nested)
    else:
        (tree / source.gives).parent.mkdir(parents=True)
        shutil.copyfile(file, tree / source.gives)
    if source in component.lacks(tree):
        top = tree / (source.into or ".")
        shown = ", ".join(sorted(path.name for path in top.iterdir())[:5])
        raise UsageError(f"{file} does not hold {source.gives}, but {shown}")
    _place(tree, PurePosixPath(source.into or source.gives), source.gives, root)


def _take_whole(
    component: type[Dataset], place: Path, root: Path, scratch: Path, watch: BeginStep
) -> None:
    """Take the set's own folder from a copy of it: an archive or a folder, by whatever name."""
    top = PurePosixPath(component.sources[0].gives).parts[0]
    tree, raw = _empty(scratch / "tree"), _empty(scratch / "raw")
    tell: ReportProgress = watch(f"copy {place.name}")
    if place.is_dir():
        copy_tree(place / top if (place / top).is_dir() else place, raw, tell)
    else:
        unpack(place, raw, tell)
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
    """Move what is in `tree / into` below the root, as it is there, where nothing is yet.

    `last` is moved last: it tells that all the rest is there.
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
    """A folder with nothing in it; what a broken attempt left is thrown away."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
