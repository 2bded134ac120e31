"""Base class of detection data sets whose boxes are in one JSON file of COCO's format.

Boxes are held in arrays: a million of them are tens of megabytes, not gigabytes of objects.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts import (
    UNLABELLED,
    DetectionSet,
    Instance,
    PartialAnnotation,
    Sample,
    SourceFile,
    data_root,
)
from rppbench.errors import MissingDataError, UsageError, unknown
from rppbench.files import rle
from rppbench.files.coco_json import box, entries, integer_of, number_of, text_of
from rppbench_datasets.image_files import read_image
from rppbench_datasets.vocabularies import table

LARGEST_EDGE = 10**9
"""No image has a coordinate beyond it, and NaN is not below it."""
VERSION = 3
"""Increased when the same files would give other boxes, names or scores. 2: of equal scores in
different images, those of the lower image id count first. 3: in LVIS, what has no area is left
out."""


class CocoFormatDataset(DetectionSet):
    """A detection data set with one split, 'test'; its class list comes with the package."""

    suite: ClassVar[str] = "coop"
    role: ClassVar[str] = "detection"
    names: ClassVar[str]
    """Name of its class list in `vocabularies`."""
    annotations: ClassVar[str]
    """The JSON file, below the data root."""
    other_annotations: ClassVar[Sequence[str]] = ()
    """Other names under which the same file is passed on."""
    images: ClassVar[str]
    """Folder of images below the data root."""

    def __init__(self) -> None:
        self.root = data_root()
        paths = [self.root / name for name in (self.annotations, *self.other_annotations)]
        self.listed = next((path for path in paths if path.is_file()), paths[0])
        if not self.listed.is_file():
            raise MissingDataError(
                f"{self.name}: no annotation file {self.listed}; "
                "name another root with --data or RPPBENCH_DATA"
            )
        try:
            self._read()
        except MissingDataError:
            raise
        except UsageError as error:  # a broken file fails its own cells only
            raise MissingDataError(f"{self.name}: {error}") from error

    @classmethod
    def lacks(cls, root: Path) -> Sequence[SourceFile]:
        """The annotation file, unless it or another form of it exists."""
        files = (cls.annotations, *cls.other_annotations)
        there = any((root / file).is_file() for file in files)
        return () if there else (SourceFile("", cls.annotations, pages=(cls.origin,)),)

    @classmethod
    def vocabulary(cls) -> Sequence[str]:
        return tuple(name.replace("_", " ") for _, name, *_ in table(cls.names))

    @property
    def classes(self) -> Sequence[str]:
        return self.vocabulary()

    def category_ids(self) -> Sequence[int]:
        return [int(number) for number, *_ in table(self.names)]

    def samples(self, split: str) -> Sequence[Sample]:
        if split != "test":
            raise unknown(f"split of {self.name} is named", split, ("test",), "splits")
        return [Sample(key, UNLABELLED) for key in self._at]

    def image(self, sample: Sample) -> Image.Image:
        return read_image(self.file(sample))

    def file(self, sample: Sample) -> Path:
        return self.root / sample.key

    def annotation_file(self, sample: Sample) -> Path:
        return self.listed

    def shape(self, sample: Sample) -> tuple[int, int]:
        return self._sizes[self._at[sample.key]]

    def image_ids(self, split: str) -> Sequence[int]:
        self.samples(split)
        return self._ids

    def instances(self, sample: Sample) -> Sequence[Instance]:
        at = self._at[sample.key]
        return [
            Instance(
                label=int(self._labels[row]),
                box=tuple(self._boxes[row].tolist()),
                crowd=bool(self._crowds[row]),
                area=float(self._areas[row]),
                segmentation=self._segmentation(row, sample),
            )
            for row in self._order[self._starts[at] : self._starts[at + 1]]
        ]

    def _segmentation(self, row: int, sample: Sample) -> Any:
        """The mask of a row in COCO's form, checked: the scorer's C++ code trusts its input."""
        if not (text := self._masks[row]):
            return None
        mask = json.loads(text)
        if isinstance(mask, list) and all(map(_is_polygon, mask)):
            return mask
        try:
            return rle.checked(mask, self.shape(sample))
        except UsageError as error:
            raise MissingDataError(
                f"{self.name}: {self.listed}: the 'segmentation' of a box on {sample.key} is "
                f"neither polygons nor a mask: {error}"
            ) from error

    def partial_annotation(self, sample: Sample) -> PartialAnnotation:
        return self._partial[self._at[sample.key]]

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        facts = (VERSION, self.name, self.template, self.vocabulary(), list(self.unseen()))
        sha = hashlib.sha256(json.dumps(facts).encode())
        # All that scores depend on: ids decide between equal scores, and by the two lists of LVIS
        # detections are wrong or left out. Only `_order` says which box is on which image.
        for image in zip(self._at, self._ids, self._sizes, self._partial, strict=True):
            sha.update(f"{json.dumps(image)}\n".encode())
        rows = (self._labels, self._boxes, self._crowds, self._areas, self._order, self._starts)
        for values in rows:
            sha.update(np.ascontiguousarray(values).tobytes())
        sha.update("\n".join(self._masks).encode())
        return sha.hexdigest()[:32]

    def path(self, image: Mapping[str, Any], where: str) -> str:
        """The image's path below `images`."""
        return text_of(image, "file_name", where)

    def _read(self) -> None:
        """Read the annotations; entries may come in any order. UsageError if one is invalid."""
        label_of = {number: label for label, number in enumerate(self.category_ids())}
        at_of: dict[int, int] = {}
        keys: list[str] = []
        self._sizes: list[tuple[int, int]] = []
        self._partial: list[PartialAnnotation] = []
        owners, labels, crowds = array("q"), array("q"), array("b")
        numbers = array("d")
        self._masks: list[str] = []
        for section, entry in entries(self.listed, "images", "annotations", "categories"):
            where = f"{self.listed}, {section}"
            if section == "categories":
                self._check_category(entry, label_of, where)
            elif section == "images":
                if (number := integer_of(entry, "id", where)) in at_of:
                    raise UsageError(f"{where}: two images have the id {number}")
                at_of[number] = len(keys)
                keys.append(str(PurePosixPath(self.images, _below(self.path(entry, where), where))))
                self._sizes.append(
                    (integer_of(entry, "height", where), integer_of(entry, "width", where))
                )
                self._partial.append(_partial_annotation(entry, label_of, where))
            elif section == "annotations":
                category = integer_of(entry, "category_id", where)
                if category not in label_of:
                    raise UsageError(f"{where}: no category has the id {category}")
                bbox = box(entry, where)
                owners.append(integer_of(entry, "image_id", where))
                labels.append(label_of[category])
                crowds.append(1 if entry.get("iscrowd") else 0)
                area = number_of(entry, "area", where) if "area" in entry else bbox[2] * bbox[3]
                numbers.extend((*bbox, area))
                mask = entry.get("segmentation")
                self._masks.append(json.dumps(mask, separators=(",", ":")) if mask else "")
            else:
                raise UsageError(f"{self.listed} is a list, not annotations with images")
        if not keys:
            raise UsageError(f"{self.listed} lists no images")
        if len(set(keys)) != len(keys):
            raise UsageError(f"{self.listed}: two images have the same file")
        values = np.frombuffer(numbers, float).reshape(-1, 5)
        self._boxes, self._areas = values[:, :4], values[:, 4]
        self._labels, self._crowds = np.asarray(labels), np.asarray(crowds)
        try:
            images = np.array([at_of[number] for number in owners], np.int64)
        except KeyError as error:
            raise UsageError(
                f"{self.listed}: a box is on image {error}, which is not listed"
            ) from None
        self._order: NDArray[np.int64] = np.argsort(images, kind="stable")
        self._starts = np.searchsorted(images[self._order], np.arange(len(keys) + 1))
        self._at = {key: at for at, key in enumerate(keys)}
        self._ids = list(at_of)

    def _check_category(self, entry: Any, label_of: Mapping[int, int], where: str) -> None:
        number, name = integer_of(entry, "id", where), text_of(entry, "name", where)
        label = label_of.get(number)
        known = None if label is None else self.vocabulary()[label]
        if known is None or not self.same_name(number, name.replace("_", " ").strip(), known):
            raise UsageError(f"{where}: category {number} is {name!r}, not {known!r}")

    def same_name(self, number: int, name: str, known: str) -> bool:
        """Whether `name` in a file is an accepted spelling of the class name `known`."""
        return name.lower() == known.lower()


def _below(path: str, where: str) -> str:
    """The path. UsageError if it leads out of its folder on any operating system."""
    foreign = PureWindowsPath(path)
    if "\0" in path or "\\" in path or foreign.anchor or ".." in foreign.parts:
        raise UsageError(f"{where}: {path!r} is not a path below the folder of images")
    return path


def _is_polygon(value: Any) -> bool:
    """Whether a value is a list of at least three points, x and y in turn."""
    if not isinstance(value, list) or len(value) < 6 or len(value) % 2:
        return False
    return all(type(edge) in (int, float) and abs(edge) < LARGEST_EDGE for edge in value)


def _partial_annotation(
    entry: Mapping[str, Any], label_of: Mapping[int, int], where: str
) -> PartialAnnotation:
    """The labels in LVIS's two lists for an image. UsageError for an unknown category id."""
    lists: list[tuple[int, ...]] = []
    for name in ("neg_category_ids", "not_exhaustive_category_ids"):
        numbers = entry.get(name) or []
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise UsageError(f"{where}: {name!r} is not a list of category ids")
        if others := [number for number in numbers if number not in label_of]:
            raise UsageError(f"{where}: {name!r} holds {others[0]}, which no category has as id")
        lists.append(tuple(label_of[number] for number in numbers))
    return PartialAnnotation(*lists)
