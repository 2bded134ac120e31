"""ImageNet and its variants: one folder of images a class, class names in `classnames.txt`.

Images are listed in sorted order, class by class. CoOp draws its ImageNet shots from an unsorted
directory listing, which differs between machines: the draws from these lists are rppbench's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from rppbench.contracts import ReportProgress, Sample, SourceFile, data_root
from rppbench.errors import WRONG_COUNT, MissingDataError
from rppbench_datasets.coop.aliases import candidate_paths
from rppbench_datasets.coop.base import GUIDE, CoopDataset, check_sorted, fields, lines
from rppbench_datasets.manifest import open_manifest

NAMES = "classnames.txt"
CLASSES = 1000
"""Lines of `classnames.txt`."""

SUFFIXES = (".jpeg", ".jpg", ".png")
WNID = re.compile(r"n\d{8}")


def classnames_source(folder: str) -> SourceFile:
    """The source of a set's `classnames.txt`: CoOp's copy of CLIP's class names.

    The one in ImageNet's folder serves all sets.
    """
    return SourceFile("drive:1-61f_ol79pViBFDG_IDlUQSwoLcn2XXF", f"{folder}/{NAMES}", file=NAMES)


class ImageNetFolders(CoopDataset):
    """A data set of class folders named by WordNet id; labels count the sorted folder names."""

    folders: ClassVar[Mapping[str, str]]
    """Split -> folder of class folders, below `folder`."""
    scanned = True

    def __init__(self) -> None:
        super().__init__()
        known = dict(self.vocabulary())
        self._split_folders = {
            split: self.split_folder(self.home, folder) for split, folder in self.folders.items()
        }
        for split in self.folders:
            present = self._class_folders(split, set(known))
        self._folders = [folder for folder in known if folder in present]
        self._names = [known[folder] for folder in self._folders]
        self._listed: dict[str, list[list[str]]] = {}

    def vocabulary(self) -> Sequence[tuple[str, str]]:
        """(folder, class name) of every class that `classnames.txt` names, in order of labels."""
        return self.named_wnids()

    def named_wnids(self) -> list[tuple[str, str]]:
        """(WordNet id, class name) of each line of `classnames.txt`."""
        path = self.home / NAMES
        if not path.is_file():  # CoOp copies ImageNet's file; the original serves too
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
            top = self._split_folders[split]
            index = open_manifest(top.parent, (top.name,))
            by_name = {PurePosixPath(folder.path).name: folder for folder in index.folders}
            listed = [
                [name for name in index.names(by_name[folder]) if _is_image(name)]
                for folder in self._folders
            ]
            self.check_count(split, sum(map(len, listed)), top)
            self._listed[split] = listed
        return self._listed[split]

    def file(self, sample: Sample) -> Path:
        inside = PurePosixPath(sample.key).relative_to(self.folder)
        for split, folder in self.folders.items():
            if inside.is_relative_to(folder):
                return self._split_folders[split] / inside.relative_to(folder)
        return super().file(sample)

    def paths(self, samples: Sequence[Sample]) -> Sequence[str]:
        moved = [
            (f"{self.folder}/{folder}/", os.path.join(self._split_folders[split], ""))
            for split, folder in self.folders.items()
        ]
        paths = []
        for sample in samples:
            start, place = next(pair for pair in moved if sample.key.startswith(pair[0]))
            paths.append(f"{place}{sample.key[len(start) :]}")
        return paths

    @classmethod
    def lacks(cls, root: Path) -> Sequence[SourceFile]:
        shared = (root / "imagenet" / NAMES).is_file()
        lacking = super().lacks(root)
        return [s for s in lacking if not (shared and s.gives.endswith(f"/{NAMES}"))]

    @classmethod
    def index(cls, report: ReportProgress) -> Sequence[Path]:
        tops = [
            cls.split_folder(data_root() / cls.folder, folder) for folder in cls.folders.values()
        ]
        return [open_manifest(top.parent, (top.name,), report).file for top in tops]

    @classmethod
    def split_folder(cls, home: Path, folder: str) -> Path:
        """The folder of a split's class folders, which may be elsewhere in another copy."""
        for place in candidate_paths(folder, cls.aliases):
            if any(True for _ in (home / place).glob("*/")) and not _is_nest(home / place):
                return home / place
        return home / folder

    def _class_folders(self, split: str, known: set[str]) -> set[str]:
        """Names of a split's class folders. MissingDataError if not all classes have one."""
        top = self._split_folders[split]
        folders = known.intersection(self._names_in(top))
        if len(folders) != self.size:
            raise MissingDataError(
                f"{self.name}: {top} has {len(folders):,} class folders, not {self.size:,}; "
                f"the layout must be that of {GUIDE}",
                WRONG_COUNT,
            )
        return folders

    def _names_in(self, folder: Path) -> list[str]:
        """Names of files and folders in a folder, sorted."""
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            reason = error.strerror
            raise MissingDataError(f"{self.name}: cannot list {folder}: {reason}") from error


def _is_nest(folder: Path) -> bool:
    """Whether a folder holds only a folder of its own name, as unpacked archives may."""
    return os.listdir(folder) == [folder.name]


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)
