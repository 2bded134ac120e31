"""Sets whose train, val and test lists are published as a `split_zhou_*.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from rppbench.contracts import Finding, SourceFile
from rppbench.errors import MISSING, UNREADABLE, MissingDataError
from rppbench_datasets.coop.files import GUIDE, Listed, ListedImage, Lists, check_sorted

SPLITS = ("train", "val", "test")


MIRROR = (
    "https://raw.githubusercontent.com/linzhiqiu/cross_modal_adaptation/"
    "c7e7e68ae4eeadfab98e7886b2d6c9cf48a7ceb5/splits/"
)
"""Seven of CoOp's nine split files, published again by Lin et al. (arXiv:2301.06267)."""


def published(folder: str, file: str, drive: str, sha256: str = "") -> SourceFile:
    """A list of CoOp's: on Google Drive, by CoOp's DATASETS.md, or where its digest was taken."""
    if sha256:
        return SourceFile(
            f"{MIRROR}{file}", f"{folder}/{file}", sha256=sha256, instead=(f"drive:{drive}",)
        )
    return SourceFile(f"drive:{drive}", f"{folder}/{file}", file=file)


class SplitFile(Listed):
    """Lists from the split file; without it, the test list if side files of the data have it."""

    split_file: ClassVar[str]
    split_sha256: ClassVar[str] = ""
    """First digits of the published split file's; '' if nobody has told."""

    def read(self) -> tuple[Lists, Path]:
        path = self.home / self.split_file
        if path.is_file():
            return read_split(path, self.name), path
        found = self.side_files()
        if found is None:
            raise MissingDataError(self._missing())
        tests, where = found
        return {"test": tests}, where

    def side_files(self) -> tuple[Sequence[ListedImage], Path] | None:
        """The official test list and the file that has it; None where there is none.

        Only the test list follows from such files: train and val of the split were drawn.
        """
        return None

    def absent(self, split: str) -> MissingDataError:
        return MissingDataError(self._missing())

    def findings(self) -> Iterator[Finding]:
        path = self.home / self.split_file
        if not path.is_file():
            yield Finding(MISSING, self._missing())
        elif self.split_sha256:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest.startswith(self.split_sha256):
                yield Finding("", f"{self.split_file} is the published one (sha256)")
            else:
                yield Finding(
                    "",
                    f"{path} has another sha256 than the published one ({self.split_sha256}...): "
                    "written anew it may hold the same, drawn anew it is another data set",
                )

    def _missing(self) -> str:
        return (
            f"{self.name}: no file {self.home / self.split_file}; fetch it from {GUIDE} "
            "(it was drawn at random: a split made anew would be another data set)"
        )


class ClassFolders(SplitFile):
    """A split file over one folder of images a class, numbered in order of the folders' names."""

    renamed: ClassVar[dict[str, str]] = {}
    """Class names that are not the folder's own."""

    def class_name(self, path: str) -> str | None:
        folder = PurePosixPath(path).parent.name
        return self.renamed.get(folder, folder)

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        check_sorted(self, folders, where)


def read_json(path: Path, name: str) -> Any:
    """What a JSON file of a data set holds. MissingDataError if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MissingDataError(f"{name}: cannot read {path}: {error}", UNREADABLE) from error


def read_split(path: Path, name: str) -> Lists:
    """The three lists of a split file. MissingDataError if it is not what it must be."""
    content = read_json(path, name)
    if not isinstance(content, dict) or set(content) != set(SPLITS):
        told = f"{name}: {path} must hold the lists {', '.join(SPLITS)}, no other"
        raise MissingDataError(told, UNREADABLE)
    return {split: [_entry(item, path, name) for item in _list(content, split)] for split in SPLITS}


def _list(content: dict[str, Any], split: str) -> list[Any]:
    found = content[split]
    return found if isinstance(found, list) else [found]  # which `_entry` then refuses


def _entry(item: Any, path: Path, name: str) -> ListedImage:
    if isinstance(item, list) and len(item) == 3:
        image, label, called = item
        if isinstance(image, str) and type(label) is int and isinstance(called, str) and called:
            return ListedImage(image, label, called)
    shown = repr(item)[:80]
    told = f"{name}: {path} must hold [path, label, class name], not {shown}"
    raise MissingDataError(told, UNREADABLE)
