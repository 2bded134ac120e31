"""What all CoOp sets share: a folder below the data root, lists that are checked, images on disk.

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

from rppbench.contracts import Dataset, Sample, SourceFile
from rppbench.errors import UNREADABLE, WRONG_COUNT, WRONG_ORDER, MissingDataError, unknown
from rppbench_datasets.coop.aliases import Aliases, found, moved
from rppbench_datasets.root import data_root

VERSION = 1
"""Raised when the same files would be read to other lists or other pixels."""

GUIDE = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"
"""Folder layout and downloads, with the split files."""


class ListedImage(NamedTuple):
    """One line of a list."""

    path: str
    """Below the folder of images."""
    label: int
    name: str
    """Of the class, underscores kept."""


Lists = Mapping[str, Sequence[ListedImage]]
"""By split."""


class OnDisk(Dataset):
    """A folder of image files below the data root."""

    suite: ClassVar[str] = "coop"
    folder: ClassVar[str]
    """Below the data root."""
    size: ClassVar[int]
    counts: ClassVar[Mapping[str, int]]
    aliases: ClassVar[Aliases] = {}
    """Other names that copies have for folders of this one."""

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
        """(path below the data root, label) of a split that is there."""

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
        """What to say where the files have no list of a split that the data set has."""
        return MissingDataError(f"{self.name}: nothing in {self.home} lists its {split!r} images")

    def image(self, sample: Sample) -> Image.Image:
        # RGB before any resizing and without EXIF rotation: what CoOp's loader does.
        path = self.file(sample)
        try:
            with Image.open(path) as file:
                return file.convert("RGB")
        except FileNotFoundError:
            raise MissingDataError(f"{self.name}: no image {path}") from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            told = f"{self.name}: cannot decode {path}: {error}"
            raise MissingDataError(told, UNREADABLE) from error

    def file(self, sample: Sample) -> Path:
        return self.root / sample.key

    @classmethod
    def lacks(cls, root: Path) -> Sequence[SourceFile]:
        home = root / cls.folder
        return [
            source
            for source in cls.sources
            if found(home, source.gives.removeprefix(f"{cls.folder}/"), cls.aliases) is None
        ]

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        facts = (VERSION, self.name, self.template, list(self.classes))
        found = hashlib.sha256(json.dumps(facts).encode())
        for split in self.present:
            for key, label in self.entries(split):
                found.update(f"{split}\0{key}\0{label}\n".encode("utf-8", "surrogatepass"))
        return found.hexdigest()[:32]

    def counted(self, split: str, found: int, where: Path) -> None:
        """Raise MissingDataError if a list has not as many images as it must."""
        if found != self.counts[split]:
            raise MissingDataError(
                f"{self.name}: {where} has {found:,} {split!r} images, not {self.counts[split]:,}",
                WRONG_COUNT,
            )


class Listed(OnDisk):
    """Images that files list, a label and a class name with each."""

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
        self._moved = moved(
            self.home,
            (
                (str(PurePosixPath(self.images, entry.path)), entry.name)
                for entries in lists.values()
                for entry in entries
            ),
            [self.images] if self.images else list(self.aliases),
            self.aliases,
        )
        for split, entries in self._lists.items():  # one look tells a moved or renamed folder
            first = self.file(Sample(*entries[0]))
            if not first.is_file():
                raise MissingDataError(
                    f"{self.name}: no image {first}, the first of {split!r} in {where}; "
                    f"the layout must be that of {GUIDE}"
                )

    @abstractmethod
    def read(self) -> tuple[Lists, Path]:
        """The lists, and the file (or folder) to name where they are wrong."""

    def class_name(self, path: str) -> str | None:
        """The class that a path tells, as lists write it; None where it tells none."""
        return None

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        """Raise MissingDataError if labels number the classes in another order than they must.

        `folders` holds a folder of each class, by label.
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
        if self._moved:  # a copy whose folders are called otherwise
            listed = sample.key.removeprefix(f"{self.folder}/")
            return self.home / self._moved.get(listed, listed)
        return super().file(sample)

    def _check(self, lists: Lists, where: Path) -> list[str]:
        """The class names by label, once nothing is wrong with the lists."""
        names: dict[int, str] = {}
        folders: dict[int, str] = {}
        seen: set[str] = set()
        for split, entries in lists.items():
            self.counted(split, len(entries), where)
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
    """Raise MissingDataError unless the keys of the classes ascend with their labels."""
    for label, (one, two) in enumerate(pairwise(keys)):
        if not one < two:
            raise MissingDataError(
                f"{data.name}: class order wrong in {where}: "
                f"label {label} is {one!r}, label {label + 1} is {two!r}",
                WRONG_ORDER,
            )


def check_path(path: str, where: str) -> None:
    """Raise MissingDataError for a path that leads out of its folder, on any system."""
    foreign = PureWindowsPath(path)  # knows drives and both separators
    if not path or "\0" in path or "\\" in path or foreign.anchor or ".." in foreign.parts:
        raise MissingDataError(f"{where}: {path!r} is no path below the folder of images")


def lines(path: Path, name: str) -> list[str]:
    """The lines of a text file that hold anything. MissingDataError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingDataError(f"{name}: no file {path}; see {GUIDE}") from None
    except (OSError, ValueError) as error:
        raise MissingDataError(f"{name}: cannot read {path}: {error}", UNREADABLE) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def fields(line: str, count: int, path: Path, name: str) -> list[str]:
    """The first `count` words of a line, the last with all the rest. MissingDataError if fewer."""
    words = line.split(" ", count - 1)
    if len(words) < count:
        told = f"{name}: cannot read {path}: the line {line!r}"
        raise MissingDataError(told, UNREADABLE)
    return words


def number(word: str, path: Path, name: str) -> int:
    """A word of a line as a number. MissingDataError if it is none."""
    try:
        return int(word)
    except ValueError:
        told = f"{name}: cannot read {path}: {word!r} is no number"
        raise MissingDataError(told, UNREADABLE) from None
