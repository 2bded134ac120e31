"""Base classes of CoOp's data sets: a folder below the data root, checked lists, image files.

Nothing is ever written below the data root, and no pickle (CoOp's caches) is ever read from it.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import ClassVar, NamedTuple

from PIL import Image

from rppbench.contracts import Dataset, Sample, SourceFile, data_root, may_be_partial
from rppbench.errors import UNREADABLE, WRONG_COUNT, WRONG_ORDER, MissingDataError, unknown
from rppbench.files.lines import numbered_lines, read_lines
from rppbench.files.presence import holds_something
from rppbench.files.rgb import decode_image
from rppbench_datasets.coop.aliases import Aliases, find_folder, find_moved_images

VERSION = 1
"""Increased when the same files would give other lists or other pixels."""

GUIDE = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"
"""CoOp's page of folder layouts and downloads, split files among them."""


class ListedImage(NamedTuple):
    """One entry of a list of images."""

    path: str
    """Below the folder of images."""
    label: int
    name: str
    """The class name, with its underscores."""


Lists = Mapping[str, Sequence[ListedImage]]
"""Split -> its list."""


class CoopDataset(Dataset):
    """A data set of CoOp: a folder of image files below the data root."""

    suite: ClassVar[str] = "coop"
    folder: ClassVar[str]
    """Below the data root."""
    size: ClassVar[int]
    """Number of classes."""
    counts: ClassVar[Mapping[str, int]]
    """Split -> number of images."""
    aliases: ClassVar[Aliases] = {}
    """Paths of its folders in other copies."""

    def __init__(self) -> None:
        self.root = data_root()
        self.home = self.root / self.folder
        if not self.home.is_dir():
            raise MissingDataError(
                f"{self.name}: no folder {self.home}; lay the data out as in {GUIDE}, "
                "or name another root with --data or RPPBENCH_DATA"
            )

    @abstractmethod
    def entries(self, split: str) -> Iterator[tuple[str, int]]:
        """(path below the data root, label) of each image of a split that is present."""

    @property
    @abstractmethod
    def present(self) -> Sequence[str]:
        """The splits whose list can be read from these files."""

    def samples(self, split: str) -> Sequence[Sample]:
        if split not in self.counts:
            raise unknown(f"split of {self.name} is named", split, self.counts, "splits")
        if split not in self.present:
            raise self.absent(split)
        return [Sample(key, label) for key, label in self.entries(split)]

    def absent(self, split: str) -> MissingDataError:
        """The error for a split that the data set has, but no file lists."""
        return MissingDataError(f"{self.name}: nothing in {self.home} lists its {split!r} images")

    def image(self, sample: Sample) -> Image.Image:
        # As CoOp's loader: RGB before any resizing, without EXIF rotation or transparency.
        path = self.file(sample)
        return decode_image(path, f"{path} of {self.name}", drop_transparency=True)

    def file(self, sample: Sample) -> Path:
        return self.root / sample.key

    @classmethod
    def lacks(cls, root: Path) -> Sequence[SourceFile]:
        home = root / cls.folder

        def is_there(source: SourceFile) -> bool:
            inside = source.gives.removeprefix(f"{cls.folder}/")
            place = find_folder(home, inside, cls.aliases)
            return place is not None and holds_something(place)

        return [source for source in cls.sources if not is_there(source)]

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        facts = (VERSION, self.name, self.template, list(self.classes))
        sha = hashlib.sha256(json.dumps(facts).encode())
        for split in self.present:
            for key, label in self.entries(split):
                sha.update(f"{split}\0{key}\0{label}\n".encode("utf-8", "surrogatepass"))
        return sha.hexdigest()[:32]

    def check_count(self, split: str, count: int, where: Path) -> None:
        """MissingDataError if a list does not have `self.counts[split]` images.

        With `--partial` it may have fewer.
        """
        if count != self.counts[split] and not (may_be_partial() and count < self.counts[split]):
            raise MissingDataError(
                f"{self.name}: {where} has {count:,} {split!r} images, not {self.counts[split]:,}",
                WRONG_COUNT,
            )


class ListedDataset(CoopDataset):
    """A data set whose files list its images, each with a label and a class name."""

    images: ClassVar[str] = "images"
    """Folder of images below `folder`; '' is `folder` itself."""

    def __init__(self) -> None:
        super().__init__()
        lists, where = self.read()
        self._names = self._check(lists, where)
        prefix = PurePosixPath(self.folder, self.images)
        self._lists = {
            split: [(str(prefix / entry.path), entry.label) for entry in entries]
            for split, entries in lists.items()
        }
        self._moved = find_moved_images(
            self.home,
            (
                (str(PurePosixPath(self.images, entry.path)), entry.name)
                for entries in lists.values()
                for entry in entries
            ),
            [self.images] if self.images else list(self.aliases),
            self.aliases,
        )
        if may_be_partial():
            self._leave_out_missing()
        # One file is enough to notice a folder that was moved or renamed.
        for split, entries in self._lists.items():
            first = self.file(Sample(*entries[0]))
            if not first.is_file():
                raise MissingDataError(
                    f"{self.name}: no image {first}, the first of {split!r} in {where}; "
                    f"the layout must be that of {GUIDE}"
                )

    @abstractmethod
    def read(self) -> tuple[Lists, Path]:
        """The lists, and the file (or folder) that error messages name."""

    def class_name(self, path: str) -> str | None:
        """The class name in a path, in the spelling of the lists; None if paths have none."""
        return None

    def _leave_out_missing(self) -> None:
        """Keep the listed images that exist, and the splits that have any."""
        there = {
            split: [entry for entry in entries if self.file(Sample(*entry)).is_file()]
            for split, entries in self._lists.items()
        }
        if not any(there.values()):
            raise MissingDataError(f"{self.name}: none of its images is in {self.home}")
        self._lists = {split: entries for split, entries in there.items() if entries}

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        """MissingDataError if the labels do not number the classes in the published order.

        `names` and `folders` hold the name and a folder of each class, by label.
        """

    @property
    def classes(self) -> Sequence[str]:
        return [name.replace("_", " ") for name in self._names]

    @property
    def present(self) -> Sequence[str]:
        return [split for split in self.counts if split in self._lists]

    def entries(self, split: str) -> Iterator[tuple[str, int]]:
        yield from self._lists[split]

    def file(self, sample: Sample) -> Path:
        if self._moved:  # a copy whose folders have other names
            listed = sample.key.removeprefix(f"{self.folder}/")
            return self.home / self._moved.get(listed, listed)
        return super().file(sample)

    def _check(self, lists: Lists, where: Path) -> list[str]:
        """The class names by label. MissingDataError if anything is wrong with the lists."""
        names: dict[int, str] = {}
        folders: dict[int, str] = {}
        seen: set[str] = set()
        for split, entries in lists.items():
            self.check_count(split, len(entries), where)
            for path, label, name in entries:
                check_path(path, f"{self.name}: {where}")
                for expected in (self.class_name(path), names.setdefault(label, name)):
                    if expected not in (None, name):
                        raise MissingDataError(
                            f"{self.name}: {where} calls {path} (label {label}) {name!r}, "
                            f"not {expected!r}",
                            WRONG_ORDER,
                        )
                if path in seen:
                    raise MissingDataError(f"{self.name}: {where} lists {path} twice")
                seen.add(path)
                folders.setdefault(label, str(PurePosixPath(path).parent))
        if sorted(names) != list(range(self.size)):
            raise MissingDataError(
                f"{self.name}: {where} has {len(names)} labels from {min(names)} to {max(names)}, "
                f"not all of 0 to {self.size - 1}",
                WRONG_COUNT,
            )
        ordered = [names[label] for label in range(self.size)]
        self.check_order(ordered, [folders[label] for label in range(self.size)], where)
        return ordered


def check_sorted(data: Dataset, keys: Sequence[str], where: Path) -> None:
    """MissingDataError unless the keys, one a class by label, are in ascending order."""
    for label, (one, two) in enumerate(pairwise(keys)):
        if not one < two:
            raise MissingDataError(
                f"{data.name}: class order wrong in {where}: "
                f"label {label} is {one!r}, label {label + 1} is {two!r}",
                WRONG_ORDER,
            )


def check_path(path: str, where: str) -> None:
    """MissingDataError for a path that leads out of its folder, on any operating system."""
    foreign = PureWindowsPath(path)  # knows drives and both separators
    if not path or "\0" in path or "\\" in path or foreign.anchor or ".." in foreign.parts:
        raise MissingDataError(f"{where}: {path!r} is not a path below the folder of images")


def lines(path: Path, name: str, *, numbered: bool = False) -> list[str]:
    """The stripped non-empty lines of a text file. MissingDataError if it cannot be read.

    numbered: whether the number of a line is its meaning, so that an empty line is an error.
    """
    try:
        return numbered_lines(path) if numbered else read_lines(path)
    except FileNotFoundError:
        raise MissingDataError(f"{name}: no file {path}; see {GUIDE}") from None
    except (OSError, ValueError) as error:
        raise MissingDataError(f"{name}: cannot read {path}: {error}", UNREADABLE) from error


def fields(line: str, count: int, path: Path, name: str) -> list[str]:
    """A line split at spaces into `count` fields, the last one with all further words.

    MissingDataError if there are fewer.
    """
    words = line.split(" ", count - 1)
    if len(words) < count:
        message = f"{name}: cannot read {path}: the line {line!r}"
        raise MissingDataError(message, UNREADABLE)
    return words


def number(word: str, path: Path, name: str) -> int:
    """A word of a line as an integer. MissingDataError if it is not one."""
    try:
        return int(word)
    except ValueError:
        message = f"{name}: cannot read {path}: {word!r} is not a number"
        raise MissingDataError(message, UNREADABLE) from None
