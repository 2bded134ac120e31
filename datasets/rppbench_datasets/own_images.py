"""Data sets of a user's own images, without code: 'folder:/path' and 'json:/path'.

The fingerprint covers the size of every file, which is read whenever the data set is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from PIL import Image

from rppbench.contracts import Dataset, Finding, Sample
from rppbench.errors import MissingDataError, UsageError, unknown
from rppbench.files.class_names import alike
from rppbench_datasets import flat_folder, image_files, listing
from rppbench_datasets.image_files import paths_below

SPLITS = ("train", "val", "test")
SHOWN = 5
"""Most files that a message names."""

NOT_READ = "files in class folders that are not read as images"
UNLABELLED = "images beside the class folders, without a class"
NESTED = "folders inside class folders, which are not looked into"
EMPTY = "class folders without images"
NO_SPLIT = "folders beside train, val and test, which are not read"
IN_TWO = "images of 'test' that are in another split too"

Lists = dict[str, list[Sample]]
"""Split -> its images."""


class OwnDataset(Dataset):
    """The base of data sets named by a path; `dataset_class` makes a subclass for each name."""

    licence = "your own"
    own = True
    kind: ClassVar[str]
    """The format: the part of the name before the colon."""
    path: ClassVar[str]
    """The path as the user wrote it; records hold this form."""

    options: ClassVar[tuple[str, ...]] = ()
    """Options that a path takes: 'PATH?NAME=VALUE&NAME=VALUE'."""

    def __init__(self) -> None:
        location, self.chosen = self._options()
        self.place = Path(location).expanduser()
        self._left_out: dict[str, list[str]] = {}
        """What was left out, in words -> paths below the root."""
        self.root, self._classes, self._lists = self._read()
        if not any(self._lists.values()):
            raise MissingDataError(f"{self.name}: no images\n{self._layout()}")
        self._sizes = dict(self._measure())

    def _options(self) -> tuple[str, dict[str, str]]:
        """The path without its options, and the options. UsageError for an unknown one."""
        location, _, query = self.path.rpartition("?")
        if not self.options or not location or Path(self.path).expanduser().exists():
            return self.path, {}
        chosen = dict(parse_qsl(query, keep_blank_values=True))
        for option in chosen:
            if option not in self.options:
                raise unknown(f"option of {self.kind}: is named", option, self.options, "options")
        return location, chosen

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
            raise MissingDataError(
                f"{self.name}: {len(missing)} of {len(samples)} images are not in {self.root}: "
                f"{_first(missing)}"
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

    def _note(self, what: str, paths: Sequence[str]) -> None:
        """Keep paths for a remark; `what` says in words what they are."""
        if paths:
            self._left_out.setdefault(what, []).extend(paths)

    def remarks(self) -> Iterator[str]:
        for what, paths in self._left_out.items():
            yield f"{self.name}: {what}: {len(paths):,} ({_first(paths)})"

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
    """Images in train, val and test/<class>/*, or in <class>/*, which are then split by content."""

    kind = "folder"
    options = ("train", "val", "test")
    _split_remark = ""

    def file(self, sample: Sample) -> Path:
        return self.root / sample.key

    def paths(self, samples: Sequence[Sample]) -> Sequence[str]:
        return paths_below(self.root, samples)

    def _layout(self) -> str:
        return (
            f"{self.place} should hold train/<class>/*, val/<class>/* and test/<class>/* "
            "(one of them is enough), or <class>/*, which is then split by content"
        )

    def _read(self) -> tuple[Path, Sequence[str], Lists]:
        if not self.place.is_dir():
            raise MissingDataError(f"{self.name}: no folder {self.place}\n{self._layout()}")
        top_folders = listing.folders(self.place)
        # A class may be called 'train': a split holds folders, a class holds images.
        parts = {split: f"{split}/" for split in SPLITS if split in top_folders}
        parts = {split: part for split, part in parts.items() if listing.folders(self.place / part)}
        if parts and self.chosen:
            raise UsageError(
                f"{self.name}: {self.place} is split into {', '.join(parts)} already; options are "
                "for a flat folder of class folders"
            )
        flat = not parts
        parts = parts or {"test": ""}
        self._note_unread_folders(top_folders, parts)
        files_by_split = {split: self._split_files(part) for split, part in parts.items()}
        names = sorted({name for files in files_by_split.values() for name in files})
        self._refuse_two_spellings(names, files_by_split)
        lists: Lists = {
            split: [
                Sample(f"{parts[split]}{name}/{file}", label)
                for label, name in enumerate(names)
                for file in files.get(name, ())
            ]
            for split, files in files_by_split.items()
        }
        if flat and self.chosen != {"test": "all"}:
            lists = self._divided(lists["test"])
        return self.place, [self._class_name(name) for name in names], lists

    def _divided(self, samples: Sequence[Sample]) -> Lists:
        """The images of a flat folder by split."""
        if "test" in self.chosen:
            raise UsageError(
                f"{self.name}: test takes 'all', for testing only, and no other option beside it; "
                "what train and val leave is for testing"
            )
        shares = flat_folder.shares(self.chosen, self.name)
        division = flat_folder.divided(self.place, samples, shares)
        self.split_rule = str(shares)
        counts = ", ".join(f"{len(listed):,} {name}" for name, listed in division.lists.items())
        joined = f"; near-duplicates kept together: {division.joined:,}" if division.joined else ""
        self._split_remark = f"{self.name}: split by content into {counts} images{joined}"
        if samples and "test" not in division.lists:
            raise MissingDataError(
                f"{self.name}: each class has one image or only near-duplicates, so none is left "
                f"to test on; folder:{self.place}?test=all takes all for testing"
            )
        return division.lists

    def remarks(self) -> Iterator[str]:
        if self._split_remark:
            yield self._split_remark
        yield from super().remarks()

    def _split_files(self, part: str) -> dict[str, list[str]]:
        """Image files of each class folder of a split that has any; notes all that is left out."""
        self._note(UNLABELLED, [f"{part}{name}" for name in listing.unlabelled(self.place / part)])
        files = {}
        for name in listing.folders(self.place / part):
            images, others, folders = listing.entries(self.place / part / name)
            self._note(NOT_READ, [f"{part}{name}/{other}" for other in others])
            self._note(NESTED, [f"{part}{name}/{folder}/" for folder in folders])
            if images:
                files[name] = images
            else:
                self._note(EMPTY, [f"{part}{name}/"])
        return files

    def _note_unread_folders(self, top_folders: Sequence[str], parts: Mapping[str, str]) -> None:
        if any(parts.values()):
            self._note(NO_SPLIT, [f"{name}/" for name in top_folders if name not in parts])

    def _refuse_two_spellings(
        self, names: Sequence[str], files_by_split: Mapping[str, Mapping[str, object]]
    ) -> None:
        """MissingDataError if splits spell a class differently: it would be two classes.

        Where one split holds both folders they are two classes, however alike.
        """
        for group in alike(names):
            for one, two in combinations(group, 2):
                in_one = [split for split, files in files_by_split.items() if one in files]
                in_two = [split for split, files in files_by_split.items() if two in files]
                if not set(in_one) & set(in_two):
                    raise MissingDataError(
                        f"{self.name}: {in_one[0]}/{one} and {in_two[0]}/{two} are one class in "
                        "two spellings; rename one of the folders"
                    )

    def _class_name(self, folder: str) -> str:
        name = folder.replace("_", " ").strip()
        if not name:
            raise MissingDataError(f"{self.name}: the folder {folder!r} names no class")
        return name


class JsonListedImages(OwnDataset):
    """Images listed in a JSON file like CoOp's: {"test": [["cat/1.jpg", 0, "cat"], ...], ...}."""

    kind = "json"
    options = ("images",)

    def file(self, sample: Sample) -> Path:
        return self.root / sample.key

    def paths(self, samples: Sequence[Sample]) -> Sequence[str]:
        return paths_below(self.root, samples)

    def _layout(self) -> str:
        return (
            f"{self.place} should hold {{'train': [[path, label, class name], ...], 'val': ..., "
            "'test': ...} (one of them is enough), with paths below its own folder, below "
            "'images' in it, or below the folder of json:FILE?images=FOLDER"
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
        learned = {s.key for split in ("train", "val") for s in lists.get(split, ())}
        self._note(IN_TWO, [s.key for s in lists.get("test", ()) if s.key in learned])
        return self._images(lists), classes, lists

    def findings(self) -> Iterator[Finding]:
        """The images in the folders of listed images that are in no list."""
        listed = {sample.key for samples in self._lists.values() for sample in samples}
        unlisted = [
            str(folder / name)
            for folder in sorted({PurePosixPath(key).parent for key in listed})
            for name in listing.entries(self.root / folder)[0]
            if str(folder / name) not in listed
        ]
        if unlisted:
            what = "images in the folders of listed ones that are in no list"
            yield Finding("", f"{self.name}: {what}: {len(unlisted):,} ({_first(unlisted)})")

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
        """The folder that paths are relative to: the named one, the file's own or its 'images'."""
        if "images" in self.chosen:
            return Path(self.chosen["images"]).expanduser()
        folder = self.place.parent
        first = next((samples[0].key for samples in lists.values() if samples), "")
        for root in (folder, folder / "images"):
            if (root / first).is_file():
                return root
        return folder

    def _error(self, problem: str) -> MissingDataError:
        return MissingDataError(f"{self.name}: {problem}\n{self._layout()}")


def _first(paths: Sequence[str]) -> str:
    return ", ".join(paths[:SHOWN]) + (", ..." if len(paths) > SHOWN else "")
