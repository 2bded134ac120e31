"""Base classes of data sets whose train, val and test lists are a `split_zhou_*.json` of CoOp."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from rppbench.contracts import Finding, SourceFile
from rppbench.errors import MISSING, UNREADABLE, MissingDataError
from rppbench_datasets.coop.base import GUIDE, ListedDataset, ListedImage, Lists, check_sorted

SPLITS = ("train", "val", "test")


MIRROR = (
    "https://raw.githubusercontent.com/linzhiqiu/cross_modal_adaptation/"
    "c7e7e68ae4eeadfab98e7886b2d6c9cf48a7ceb5/splits/"
)
"""Seven of CoOp's nine split files, published again by Lin et al. (arXiv:2301.06267)."""


def split_file_source(folder: str, file: str, drive: str, sha256: str = "") -> SourceFile:
    """The source of a split file: `MIRROR` if `sha256` is known, otherwise Google Drive.

    The digests were computed from the mirror's copies; Google Drive is the source in CoOp's
    DATASETS.md.
    """
    if sha256:
        return SourceFile(
            f"{MIRROR}{file}", f"{folder}/{file}", sha256=sha256, instead=(f"drive:{drive}",)
        )
    return SourceFile(f"drive:{drive}", f"{folder}/{file}", file=file)


class SplitFileDataset(ListedDataset):
    """A data set with a split file; without it, only the official test list can be read."""

    split_file: ClassVar[str]
    split_sha256: ClassVar[str] = ""
    """First digits of the published split file's SHA-256; '' if unknown."""
    in_its_place: ClassVar[tuple[str, ...]] = ()
    """What `sources` give that only serves where there is no split file."""

    @classmethod
    def lacks(cls, root: Path) -> Sequence[SourceFile]:
        lacking = super().lacks(root)
        if not (root / cls.folder / cls.split_file).is_file():
            return lacking
        return [source for source in lacking if source.gives not in cls.in_its_place]

    def read(self) -> tuple[Lists, Path]:
        path = self.home / self.split_file
        if path.is_file():
            return read_split(path, self.name), path
        test_list = self.official_test_list()
        if test_list is None:
            raise MissingDataError(self._missing())
        images, where = test_list
        return {"test": images}, where

    def official_test_list(self) -> tuple[Sequence[ListedImage], Path] | None:
        """The test list that the data set itself comes with, and its file; None if it has none.

        Train and val cannot be read from the data set: CoOp drew them at random.
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
                    "if it was only rewritten, the lists may be the same; if they were drawn "
                    "again, it is another data set",
                )

    def _missing(self) -> str:
        return (
            f"{self.name}: no file {self.home / self.split_file}; fetch it from {GUIDE} "
            "(it was drawn at random: another draw would be another data set)"
        )


class ClassFolders(SplitFileDataset):
    """A data set with a split file and one folder a class; labels count the sorted folder names."""

    renamed: ClassVar[dict[str, str]] = {}
    """Folder -> class name, where the two differ."""

    def class_name(self, path: str) -> str | None:
        folder = PurePosixPath(path).parent.name
        return self.renamed.get(folder, folder)

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        check_sorted(self, folders, where)


def read_json(path: Path, name: str) -> Any:
    """The content of a JSON file of a data set. MissingDataError if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MissingDataError(f"{name}: cannot read {path}: {error}", UNREADABLE) from error


def read_split(path: Path, name: str) -> Lists:
    """The three lists of a split file. MissingDataError if it is not a valid split file."""
    content = read_json(path, name)
    if not isinstance(content, dict) or set(content) != set(SPLITS):
        message = f"{name}: {path} must hold the lists {', '.join(SPLITS)}, no other"
        raise MissingDataError(message, UNREADABLE)
    return {split: [_entry(item, path, name) for item in _list(content, split)] for split in SPLITS}


def _list(content: dict[str, Any], split: str) -> list[Any]:
    value = content[split]
    return value if isinstance(value, list) else [value]  # which `_entry` then refuses


def _entry(item: Any, path: Path, name: str) -> ListedImage:
    if isinstance(item, list) and len(item) == 3:
        image, label, class_name = item
        types = (type(image), type(label), type(class_name))
        if types == (str, int, str) and class_name:
            return ListedImage(image, label, class_name)
    message = f"{name}: {path} must hold [path, label, class name], not {repr(item)[:80]}"
    raise MissingDataError(message, UNREADABLE)
