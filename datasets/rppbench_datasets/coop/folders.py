"""The ImageNet family: a folder of images a class, and `classnames.txt` for what they show.

Images are listed in sorted order, class by class. CoOp draws its ImageNet shots from an unsorted
directory listing, which differs between machines: the draws from these lists are rppbench's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from rppbench.contracts import ReportProgress, Sample, SourceFile
from rppbench.errors import WRONG_COUNT, MissingDataError
from rppbench_datasets.coop.aliases import places
from rppbench_datasets.coop.files import GUIDE, OnDisk, check_sorted, fields, lines
from rppbench_datasets.manifest import manifest
from rppbench_datasets.root import data_root

NAMES = "classnames.txt"
CLASSES = 1000
"""Its lines."""

SUFFIXES = (".jpeg", ".jpg", ".png")
WNID = re.compile(r"n\d{8}")


def names_of(folder: str) -> SourceFile:
    """CoOp's list of the classes, which is CLIP's, for one set; ImageNet's own serves them all."""
    return SourceFile("drive:1-61f_ol79pViBFDG_IDlUQSwoLcn2XXF", f"{folder}/{NAMES}", file=NAMES)


class ImageNetFolders(OnDisk):
    """Folders named by WordNet id; labels are ranks among the sorted names of the folders."""

    folders: ClassVar[Mapping[str, str]]
    """Split -> folder of class folders, below `folder`."""
    scanned = True

    def __init__(self) -> None:
        super().__init__()
        known = dict(self.vocabulary())
        self._tops = {split: self.top(self.home, folder) for split, folder in self.folders.items()}
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
        path = self.home / NAMES
        if not path.is_file():  # CoOp copies ImageNet's file; the original does as well
            path = self.root / "imagenet" / NAMES
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
            top = self._tops[split]
            index = manifest(top.parent, (top.name,))
            there = {PurePosixPath(folder.path).name: folder for folder in index.folders}
            listed = [
                [name for name in index.names(there[folder]) if _is_image(name)]
                for folder in self._folders
            ]
            self.counted(split, sum(map(len, listed)), top)
            self._listed[split] = listed
        return self._listed[split]

    def file(self, sample: Sample) -> Path:
        inside = PurePosixPath(sample.key).relative_to(self.folder)
        for split, folder in self.folders.items():
            if inside.is_relative_to(folder):
                return self._tops[split] / inside.relative_to(folder)
        return super().file(sample)

    @classmethod
    def lacks(cls, root: Path) -> Sequence[SourceFile]:
        shared = (root / "imagenet" / NAMES).is_file()
        lacking = super().lacks(root)
        return [s for s in lacking if not (shared and s.gives.endswith(f"/{NAMES}"))]

    @classmethod
    def index(cls, report: ReportProgress) -> Sequence[Path]:
        tops = [cls.top(data_root() / cls.folder, folder) for folder in cls.folders.values()]
        return [manifest(top.parent, (top.name,), report).file for top in tops]

    @classmethod
    def top(cls, home: Path, folder: str) -> Path:
        """A folder of class folders, or what a copy has in its place."""
        for place in places(folder, cls.aliases):
            if any(True for _ in (home / place).glob("*/")) and not _is_nest(home / place):
                return home / place
        return home / folder

    def _class_folders(self, split: str, known: set[str]) -> set[str]:
        """Names of a split's class folders. MissingDataError if they are not the set's."""
        top = self._tops[split]
        found = known.intersection(self._names_in(top))
        if len(found) != self.size:
            raise MissingDataError(
                f"{self.name}: {top} has {len(found):,} class folders, not {self.size:,}; "
                f"the layout must be that of {GUIDE}",
                WRONG_COUNT,
            )
        return found

    def _names_in(self, folder: Path) -> list[str]:
        """What is in a folder, sorted."""
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            reason = error.strerror
            raise MissingDataError(f"{self.name}: cannot list {folder}: {reason}") from error


def _is_nest(folder: Path) -> bool:
    """Whether a folder holds nothing but a folder of its own name, as unpacked archives may."""
    return os.listdir(folder) == [folder.name]


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)
