"""The ImageNet family: a folder of images a class, and `classnames.txt` for what they show.

Images are listed in sorted order, class by class. CoOp draws its ImageNet shots from an unsorted
directory listing, which differs between machines: the draws from these lists are rppbench's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from rppbench.errors import MissingDataError
from rppbench_datasets.coop.files import GUIDE, OnDisk, check_sorted, fields, lines

CLASSES = 1000
"""Lines of `classnames.txt`."""

SUFFIXES = (".jpeg", ".jpg", ".png")
WNID = re.compile(r"n\d{8}")


class ImageNetFolders(OnDisk):
    """Folders named by WordNet id; labels are ranks among the sorted names of the folders."""

    folders: ClassVar[Mapping[str, str]]
    """Split -> folder of class folders, below `folder`."""

    def __init__(self) -> None:
        super().__init__()
        known = dict(self.vocabulary())
        for split in self.folders:
            found = self._class_folders(split, set(known))
        self._folders = [folder for folder in known if folder in found]
        self._names = [known[folder] for folder in self._folders]
        self._listed: dict[str, list[list[str]]] = {}

    def vocabulary(self) -> Sequence[tuple[str, str]]:
        """(folder, class name) of every class that `classnames.txt` names, in order of labels."""
        return self.named_wnids()

    def named_wnids(self) -> list[tuple[str, str]]:
        """(WordNet id, class name) of each line of `classnames.txt`."""
        path = self.home / "classnames.txt"
        if not path.is_file():  # CoOp copies ImageNet's file; the original does as well
            path = self.root / "imagenet" / "classnames.txt"
        pairs = [fields(line, 2, path, self.name) for line in lines(path, self.name)]
        if len(pairs) != CLASSES or not all(WNID.fullmatch(wnid) for wnid, _ in pairs):
            raise MissingDataError(
                f"{self.name}: {path} must hold {CLASSES:,} lines '<WordNet id> <name>', "
                f"as CoOp's; fetch it from {GUIDE}"
            )
        check_sorted(self, [wnid for wnid, _ in pairs], path)
        return [(wnid, name.strip().replace("_", " ")) for wnid, name in pairs]

    @property
    def classes(self) -> Sequence[str]:
        return self._names

    @property
    def present(self) -> Sequence[str]:
        return list(self.folders)

    def entries(self, split: str) -> Iterator[tuple[str, int]]:
        for label, (folder, files) in enumerate(
            zip(self._folders, self._files(split), strict=True)
        ):
            for file in files:
                yield f"{self.folder}/{self.folders[split]}/{folder}/{file}", label

    def _files(self, split: str) -> list[list[str]]:
        """Names of the images of each class, sorted; listed once."""
        if split not in self._listed:
            top = self.home / self.folders[split]
            found = [[n for n in self._names_in(top / f) if _is_image(n)] for f in self._folders]
            self.counted(split, sum(map(len, found)), top)
            self._listed[split] = found
        return self._listed[split]

    def _class_folders(self, split: str, known: set[str]) -> set[str]:
        """Names of a split's class folders. MissingDataError if they are not the set's."""
        top = self.home / self.folders[split]
        found = known.intersection(self._names_in(top))
        if len(found) != self.size:
            raise MissingDataError(
                f"{self.name}: {top} has {len(found):,} class folders, not {self.size:,}; "
                f"the layout must be that of {GUIDE}"
            )
        return found

    def _names_in(self, folder: Path) -> list[str]:
        """What is in a folder, sorted."""
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            reason = error.strerror
            raise MissingDataError(f"{self.name}: cannot list {folder}: {reason}") from error


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)
