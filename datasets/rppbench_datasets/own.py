"""One's own image files without code: what 'folder:/path' and 'json:/path' stand for.

The fingerprint holds the size of every file, so an image that is replaced under its old name makes
another data set; that takes one look at each file whenever the data is opened.
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
from rppbench_datasets import pictures
from rppbench_datasets.manifest import END, check_text

SPLITS = ("train", "val", "test")
SHOWN = 5
"""Of a list of faulty files in a message."""

Lists = dict[str, list[Sample]]
"""Split -> its images."""


class Own(Dataset):
    """Images of one's own; `named.resolve` makes the class of a name with `of_name`."""

    licence = "your own"
    kind: ClassVar[str]
    """The word before the colon."""
    path: ClassVar[str]
    """As it was written, which is how it stands in records."""

    def __init__(self) -> None:
        self.place = Path(self.path).expanduser()
        self.root, self._classes, self._lists = self._read()
        if not any(self._lists.values()):
            raise MissingDataError(f"{self.name}: no images\n{self._layout()}")
        self._sizes = dict(self._measure())

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker cannot import a class that a name was turned into, only the form it has.
        return _again, (type(self).__base__, self.name, self.path, self.title)

    @abstractmethod
    def _read(self) -> tuple[Path, Sequence[str], Lists]:
        """The folder that keys start from, class names, and lists by split."""

    @abstractmethod
    def _layout(self) -> str:
        """How the data should lie, for messages."""

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
            shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise MissingDataError(
                f"{self.name}: {len(missing)} of {len(samples)} images are not in {self.root}: "
                f"{shown}"
            )

    @property
    def classes(self) -> Sequence[str]:
        return self._classes

    def samples(self, split: str) -> Sequence[Sample]:
        if split not in self._lists:
            what = f"split of {self.name} is named"
            raise unknown(what, split, self._lists, "splits", [self._layout()])
        return self._lists[split]

    def image(self, sample: Sample) -> Image.Image:
        return pictures.read(self.root / sample.key)

    def fingerprint(self) -> str:
        lists = {
            split: [(sample.key, sample.label, self._sizes[sample.key]) for sample in samples]
            for split, samples in self._lists.items()
        }
        facts = (1, self.template, list(self.classes), lists)
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


@cache
def of_name(form: type[Own], name: str, path: str, title: str) -> type[Own]:
    """The class of the data set that a name stands for: one of the forms, at a path."""
    facts = {"name": name, "title": title, "path": path}
    facts |= {"__doc__": str(form.__doc__), "__module__": form.__module__}
    return type(form.__name__, (form,), facts)


def _again(form: type[Own], name: str, path: str, title: str) -> Own:
    """The data set in another process."""
    return of_name(form, name, path, title)()


class FolderImages(Own):
    """train, val and test/<class>/*, or <class>/*, which is all for testing."""

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
        tops = _folders(self.place)
        # A class may be called 'train': a split holds folders, a class holds images.
        parts = {split: f"{split}/" for split in SPLITS if split in tops}
        parts = {split: part for split, part in parts.items() if _folders(self.place / part)}
        parts = parts or {"test": ""}
        found = {
            split: {
                name: _pictures(self.place / part / name) for name in _folders(self.place / part)
            }
            for split, part in parts.items()
        }
        names = sorted({name for files in found.values() for name in files if files[name]})
        lists: Lists = {
            split: [
                Sample(f"{parts[split]}{name}/{file}", label)
                for label, name in enumerate(names)
                for file in files.get(name, ())
            ]
            for split, files in found.items()
        }
        return self.place, [self._class_name(name) for name in names], lists

    def _class_name(self, folder: str) -> str:
        name = folder.replace("_", " ").strip()
        if not name:
            raise MissingDataError(f"{self.name}: the folder {folder!r} names no class")
        return name


class ListedImages(Own):
    """A JSON file like CoOp's split files: {"test": [["cat/1.jpg", 0, "cat"], ...], ...}."""

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
                raise self._wrong(f"{split!r} is no list")
            lists[split] = [self._sample(split, row, names) for row in rows]
            if len({sample.key for sample in lists[split]}) < len(rows):
                raise self._wrong(f"{split!r} has an image twice")
        if sorted(names) != list(range(len(names))):
            lost = min(set(range(len(names))) - set(names))
            raise self._wrong(f"labels count from 0 without gaps, but there is no {lost}")
        classes = [names[label].replace("_", " ").strip() for label in range(len(names))]
        return self._images(lists), classes, lists

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(self.place.read_text(encoding="utf-8"))
        except OSError as error:
            told = f"{self.name}: cannot read {self.place}: {error.strerror}"
            raise MissingDataError(f"{told}\n{self._layout()}") from error
        except (ValueError, RecursionError) as error:
            raise self._wrong(f"it is no JSON: {error}") from error
        if not isinstance(content, dict):
            raise self._wrong("it is no JSON object")
        if strange := sorted(set(content) - set(SPLITS)):
            raise self._wrong(f"it has a split {strange[0]!r}")
        return content

    def _sample(self, split: str, row: Any, names: dict[int, str]) -> Sample:
        """The image of a row; its class name is noted in `names`."""
        where = f"{split!r} has the row {json.dumps(row)[:100]}"
        if not isinstance(row, list) or [type(value) for value in row] != [str, int, str]:
            raise self._wrong(where)
        key, label, name = row
        path = PurePosixPath(key)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in key:
            raise self._wrong(f"{where}, whose path leads out of the folder")
        if label < 0 or not name.replace("_", " ").strip():
            raise self._wrong(where)
        if names.setdefault(label, name) != name:
            raise self._wrong(f"label {label} is both {names[label]!r} and {name!r}")
        try:
            f"{key}{name}".encode()
        except UnicodeEncodeError as error:
            raise self._wrong(f"{where}, which is no text") from error
        return Sample(str(path), label)

    def _images(self, lists: Lists) -> Path:
        """The folder that paths start from: the file's own, or 'images' in it."""
        folder = self.place.parent
        first = next((samples[0].key for samples in lists.values() if samples), "")
        for root in (folder, folder / "images"):
            if (root / first).is_file():
                return root
        return folder

    def _wrong(self, what: str) -> MissingDataError:
        return MissingDataError(f"{self.name}: {what}\n{self._layout()}")


def _folders(place: Path) -> list[str]:
    """Names of the folders in a folder, sorted; hidden ones are left out."""
    try:
        with os.scandir(place) as entries:
            names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise MissingDataError(f"cannot list {place}: {error.strerror}") from error
    check_text(END.join(map(os.fsencode, names)), place)
    return names


def _pictures(place: Path) -> list[str]:
    """Names of the image files in a folder, sorted."""
    try:
        with os.scandir(os.fsencode(place)) as entries:
            names = sorted(e.name for e in entries if pictures.is_picture(e.name) and e.is_file())
    except OSError as error:
        raise MissingDataError(f"cannot list {place}: {error.strerror}") from error
    check_text(END.join(names), place)
    return [name.decode() for name in names]
