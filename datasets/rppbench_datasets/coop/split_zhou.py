"""Sets whose train, val and test lists are published as a `split_zhou_*.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from rppbench.errors import MissingDataError
from rppbench_datasets.coop.files import GUIDE, Entry, Listed, Lists, check_sorted

SPLITS = ("train", "val", "test")


class SplitFile(Listed):
    """Lists from the split file; without it, the test list if side files of the data have it."""

    split_file: ClassVar[str]

    def read(self) -> tuple[Lists, Path]:
        path = self.home / self.split_file
        if path.is_file():
            return read_split(path, self.name), path
        found = self.side_files()
        if found is None:
            raise MissingDataError(self._missing())
        tests, where = found
        return {"test": tests}, where

    def side_files(self) -> tuple[Sequence[Entry], Path] | None:
        """The official test list and the file that has it; None where there is none.

        Only the test list follows from such files: train and val of the split were drawn.
        """
        return None

    def absent(self, split: str) -> MissingDataError:
        return MissingDataError(self._missing())

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
        raise MissingDataError(f"{name}: cannot read {path}: {error}") from error


def read_split(path: Path, name: str) -> Lists:
    """The three lists of a split file. MissingDataError if it is not what it must be."""
    content = read_json(path, name)
    if not isinstance(content, dict) or set(content) != set(SPLITS):
        raise MissingDataError(f"{name}: {path} must hold the lists {', '.join(SPLITS)}, no other")
    return {split: [_entry(item, path, name) for item in _list(content, split)] for split in SPLITS}


def _list(content: dict[str, Any], split: str) -> list[Any]:
    found = content[split]
    return found if isinstance(found, list) else [found]  # which `_entry` then refuses


def _entry(item: Any, path: Path, name: str) -> Entry:
    if isinstance(item, list) and len(item) == 3:
        image, label, called = item
        if isinstance(image, str) and type(label) is int and isinstance(called, str) and called:
            return Entry(image, label, called)
    shown = repr(item)[:80]
    raise MissingDataError(f"{name}: {path} must hold [path, label, class name], not {shown}")
