"""Data sets of a user's own images, without code: 'folder:/path' and 'json:/path'.

The fingerprint covers the size of every file, so an image that is replaced under its old name makes
another data set. The size of each file is therefore read whenever the data set is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from PIL import Image

from rppbench.contracts import Dataset, Sample
from rppbench.errors import MissingDataError, unknown
from rppbench_datasets import image_files
from rppbench_datasets.manifest import END, check_text

SPLITS = ("train", "val", "test")
SHOWN = 5
"""Most missing files that a message names."""

Lists = dict[str, list[Sample]]
"""Split -> its images."""


class OwnDataset(Dataset):
    """The base of data sets named by a path; `dataset_class` makes a subclass for each name."""

    licence = "your own"
    kind: ClassVar[str]
    """The format: the part of the name before the colon."""
    path: ClassVar[str]
    """The path as the user wrote it; records hold this form."""

    def __init__(self) -> None:
        self.place = Path(self.path).expanduser()
        self.root, self._classes, self._lists = self._read()
        if not any(self._lists.values()):
            raise MissingDataError(f"{self.name}: no images\n{self._layout()}")
        self._sizes = dict(self._measure())

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker cannot import a class that was made from a name, only its base.
        return _unpickle, (type(self).__base__, self.name, self.path, self.title)

    @abstractmethod
    def _read(self) -> tuple[Path, Sequence[str], Lists]:
        """The folder that keys are relative to, class names, and samples by split."""

    @abstractmethod
    def _layout(self) -> str:
        """The expected layout of the data, for messages."""

    def _measure(self) -> Iterator[tuple[str, int]]:
        """(key, bytes) of every file. MissingDataError if files are missing."""
        samples = [sample for listed in self._lists.values() for sample in listed]
        missing = []
        for sample in samples:
            try:
                yield sample.key, os.stat(self.root / sample.key).st_size
            except OSError:
                missing.append(sample.key)
        if missing:
            first = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise MissingDataError(
                f"{self.name}: {len(missing)} of {len(samples)} images are not in {self.root}: "
                f"{first}"
            )

    @property
    def classes(self) -> Sequence[str]:
        return self._classes

    def samples(self, split: str) -> Sequence[Sample]:
        if split not in self._lists:
            raise unknown(
                f"split of {self.name} is named", split, self._lists, "splits", [self._layout()]
            )
        return self._lists[split]

    def image(self, sample: Sample) -> Image.Image:
        return image_files.read_image(self.root / sample.key)

    def fingerprint(self) -> str:
        lists = {
            split: [(sample.key, sample.label, self._sizes[sample.key]) for sample in samples]
            for split, samples in self._lists.items()
        }
        facts = (1, self.template, list(self.classes), lists)
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


@cache
def dataset_class(base: type[OwnDataset], name: str, path: str, title: str) -> type[OwnDataset]:
    """The class of the data set at `path`, whose format `base` reads."""
    attributes = {"name": name, "title": title, "path": path}
    attributes |= {"__doc__": str(base.__doc__), "__module__": base.__module__}
    return type(base.__name__, (base,), attributes)


def _unpickle(base: type[OwnDataset], name: str, path: str, title: str) -> OwnDataset:
    """The data set, opened again in another process."""
    return dataset_class(base, name, path, title)()


class FolderImages(OwnDataset):
    """Images in train, val and test/<class>/*, or in <class>/*, which are then all for testing."""

    kind = "folder"

    def file(self, sample: Sample) -> Path:
        return self.root / sample.key

    def _layout(self) -> str:
        return (
            f"{self.place} should hold train/<class>/*, val/<class>/* and test/<class>/* "
            "(one of them is enough), or <class>/*, which is then for testing"
        )

    def _read(self) -> tuple[Path, Sequence[str], Lists]:
        if not self.place.is_dir():
            raise MissingDataError(f"{self.name}: no folder {self.place}\n{self._layout()}")
        top_folders = _folders(self.place)
        # A class may be called 'train': a split holds folders, a class holds images.
        parts = {split: f"{split}/" for split in SPLITS if split in top_folders}
        parts = {split: part for split, part in parts.items() if _folders(self.place / part)}
        parts = parts or {"test": ""}
        files_by_split = {
            split: {
                name: _image_files(self.place / part / name) for name in _folders(self.place / part)
            }
            for split, part in parts.items()
        }
        names = sorted({name for files in files_by_split.values() for name in files if files[name]})
        lists: Lists = {
            split: [
                Sample(f"{parts[split]}{name}/{file}", label)
                for label, name in enumerate(names)
                for file in files.get(name, ())
            ]
            for split, files in files_by_split.items()
        }
        return self.place, [self._class_name(name) for name in names], lists

    def _class_name(self, folder: str) -> str:
        name = folder.replace("_", " ").strip()
        if not name:
            raise MissingDataError(f"{self.name}: the folder {folder!r} names no class")
        return name


class JsonListedImages(OwnDataset):
    """Images listed in a JSON file like CoOp's: {"test": [["cat/1.jpg", 0, "cat"], ...], ...}."""

    kind = "json"

    def file(self, sample: Sample) -> Path:
        return self.root / sample.key

    def _layout(self) -> str:
        return (
            f"{self.place} should hold {{'train': [[path, label, class name], ...], 'val': ..., "
            "'test': ...} (one of them is enough), with paths below its own folder or below "
            "'images' in it"
        )

    def _read(self) -> tuple[Path, Sequence[str], Lists]:
        content = self._content()
        names: dict[int, str] = {}
        lists: Lists = {}
        for split in (split for split in SPLITS if split in content):
            rows = content[split]
            if not isinstance(rows, list):
                raise self._error(f"{split!r} is not a list")
            lists[split] = [self._sample(split, row, names) for row in rows]
            if len({sample.key for sample in lists[split]}) < len(rows):
                raise self._error(f"{split!r} has an image twice")
        if sorted(names) != list(range(len(names))):
            gap = min(set(range(len(names))) - set(names))
            raise self._error(f"labels must count from 0 without gaps, but there is no {gap}")
        classes = [names[label].replace("_", " ").strip() for label in range(len(names))]
        return self._images(lists), classes, lists

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(self.place.read_text(encoding="utf-8"))
        except OSError as error:
            raise self._error(f"cannot read {self.place}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise self._error(f"it is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise self._error("it is not a JSON object")
        if others := sorted(set(content) - set(SPLITS)):
            raise self._error(f"it has a split {others[0]!r}")
        return content

    def _sample(self, split: str, row: Any, names: dict[int, str]) -> Sample:
        """The sample of a row; its class name is added to `names` (label -> name)."""
        row_text = f"{split!r} has the row {json.dumps(row)[:100]}"
        if not isinstance(row, list) or [type(value) for value in row] != [str, int, str]:
            raise self._error(row_text)
        key, label, name = row
        path = PurePosixPath(key)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in key:
            raise self._error(f"{row_text}, whose path leads out of the folder")
        if label < 0 or not name.replace("_", " ").strip():
            raise self._error(row_text)
        if names.setdefault(label, name) != name:
            raise self._error(f"label {label} is both {names[label]!r} and {name!r}")
        try:
            f"{key}{name}".encode()
        except UnicodeEncodeError as error:
            raise self._error(f"{row_text}, which is not valid text") from error
        return Sample(str(path), label)

    def _images(self, lists: Lists) -> Path:
        """The folder that paths are relative to: the file's own, or 'images' in it."""
        folder = self.place.parent
        first = next((samples[0].key for samples in lists.values() if samples), "")
        for root in (folder, folder / "images"):
            if (root / first).is_file():
                return root
        return folder

    def _error(self, problem: str) -> MissingDataError:
        return MissingDataError(f"{self.name}: {problem}\n{self._layout()}")


def _folders(place: Path) -> list[str]:
    """Names of the folders in a folder, sorted; hidden ones are left out."""
    try:
        with os.scandir(place) as entries:
            names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise MissingDataError(f"cannot list {place}: {error.strerror}") from error
    check_text(END.join(map(os.fsencode, names)), place)
    return names


def _image_files(place: Path) -> list[str]:
    """Names of the image files in a folder, sorted."""
    try:
        with os.scandir(os.fsencode(place)) as entries:
            names = sorted(
                e.name for e in entries if image_files.is_image_file(e.name) and e.is_file()
            )
    except OSError as error:
        raise MissingDataError(f"cannot list {place}: {error.strerror}") from error
    check_text(END.join(names), place)
    return [name.decode() for name in names]
