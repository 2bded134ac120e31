"""Base class of segmentation data sets: a folder of images and a folder of PNG label maps.

The scripts of detectron2, ZSSeg and POMP prepare the maps: one byte a pixel, labels from 0, and 255
for pixels that are not scored. Nothing is written below the data root.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts import IGNORED, UNLABELLED, Sample, SegmentationSet, SourceFile, data_root
from rppbench.errors import MissingDataError, unknown
from rppbench.files.lines import read_lines
from rppbench_datasets.image_files import read_image
from rppbench_datasets.vocabularies import table

VERSION = 1
"""Increased when the same files would give other labels or names."""

NOT_SCORED = 255
"""Value in the label maps of pixels that are not scored."""


class LabelMaps(SegmentationSet):
    """A segmentation data set: 'test' are the official validation images.

    'train' are those of the folder `train_maps`, where a set names one; their seen classes can be
    learned from.
    """

    suite: ClassVar[str] = "coop"
    role: ClassVar[str] = "segmentation"
    names: ClassVar[str]
    """Name of its class list in `vocabularies`."""
    maps: ClassVar[str]
    """Folder of label maps (.png) below the data root."""
    images: ClassVar[str]
    """Folder of images (.jpg) below the data root."""
    listing: ClassVar[str] = ""
    """File below the data root that lists the images, a path or name first in each line; '' if
    every map of the folder belongs to the set."""
    train_maps: ClassVar[str] = ""
    """Folder of label maps of training images below the data root; '' if none are read."""
    train_images: ClassVar[str] = ""
    """Folder of these images."""
    layouts: ClassVar[Mapping[int, str]] = {}
    """Other numbers of label maps that are known, each with a name for this form of the set."""

    def __init__(self) -> None:
        self.root = data_root()
        self.folder = self.root / self.maps
        if not self.folder.is_dir():
            raise MissingDataError(
                f"{self.name}: no folder {self.folder}; prepare the label maps as for detectron2 "
                "(see datasets/README.md), or name another root with --data or RPPBENCH_DATA"
            )
        listed = self._listed()
        with os.scandir(self.folder) as entries:
            sizes = {
                entry.name: entry.stat().st_size
                for entry in entries
                if _is_map(entry.name) and (listed is None or entry.name[:-4] in listed)
            }
        known = {self.counts["test"]: "", **self.layouts}
        if len(sizes) not in known:
            counts = " or ".join(f"{count:,}" for count in known)
            raise MissingDataError(
                f"{self.name}: {self.folder} has {len(sizes):,} label maps, not {counts}"
            )
        self.layout = known[len(sizes)]
        self._sizes = dict(sorted(sizes.items()))

    def _listed(self) -> frozenset[str] | None:
        """The names in the listing, without folder and ending. MissingDataError if it is absent."""
        if not self.listing:
            return None
        path = self.root / self.listing
        try:
            return frozenset(Path(line.split()[0]).stem for line in read_lines(path))
        except (OSError, ValueError) as error:
            raise MissingDataError(f"{self.name}: cannot read the list {path}: {error}") from error

    @classmethod
    def vocabulary(cls) -> Sequence[str]:
        return tuple(name for _, name, *_ in table(cls.names))

    @property
    def classes(self) -> Sequence[str]:
        return self.vocabulary()

    def maskclip_names(self) -> Sequence[str]:
        other = {ours: theirs for name, ours, theirs in table("maskclip") if name == self.names}
        return [other.get(name, name) for name in self.vocabulary()]

    def unseen(self) -> Sequence[int]:
        return [label for label, row in enumerate(table(self.names)) if row[2:] == ["unseen"]]

    def remarks(self) -> Iterable[str]:
        if self.layout:
            yield f"{self.name} has {len(self._sizes):,} label maps: {self.layout}"

    def samples(self, split: str) -> Sequence[Sample]:
        if split == "train" and self.train_maps:
            return self._training
        if split != "test":
            raise unknown(f"split of {self.name} is named", split, ("test",), "splits")
        return [Sample(f"{self.images}/{name[:-4]}.jpg", UNLABELLED) for name in self._sizes]

    @cached_property
    def _training(self) -> Sequence[Sample]:
        """The training images. MissingDataError without their maps, or with maps of test images."""
        folder = self.root / self.train_maps
        if not folder.is_dir():
            raise MissingDataError(f"{self.name}: no folder {folder} of training label maps")
        names = sorted(filter(_is_map, os.listdir(folder)))
        if leaked := self._sizes.keys() & set(names):
            raise MissingDataError(
                f"{self.name}: {folder} holds {len(leaked):,} maps of test images "
                f"({min(leaked)}, ...), which nothing may learn from"
            )
        return [Sample(f"{self.train_images}/{name[:-4]}.jpg", UNLABELLED) for name in names]

    def image(self, sample: Sample) -> Image.Image:
        return read_image(self.file(sample))

    def file(self, sample: Sample) -> Path:
        return self.root / sample.key

    def annotation_file(self, sample: Sample) -> Path:
        name = f"{Path(sample.key).stem}.png"
        return (self.folder if name in self._sizes else self.root / self.train_maps) / name

    def label_map(self, sample: Sample) -> NDArray[np.uint16]:
        path = self.annotation_file(sample)
        labels = _bytes(path).astype(np.uint16)
        labels[labels == NOT_SCORED] = IGNORED
        beyond = labels[(labels >= len(self.classes)) & (labels != IGNORED)]
        if beyond.size:
            raise MissingDataError(
                f"{self.name}: {path} holds label {beyond.min()}, but labels go from 0 to "
                f"{len(self.classes) - 1} ({NOT_SCORED}: not scored); is it a prepared map?"
            )
        return labels

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        """Covers the size of each label map, so a replaced map is noticed if its size changed."""
        facts = (VERSION, self.name, self.template, list(self.classes), list(self.unseen()))
        text = json.dumps((*facts, self._sizes))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def prepared(images: str, maps: str, page: str, listing: str = "") -> tuple[SourceFile, ...]:
    """The two folders, and the list if there is one, as sources that the user prepares by hand.

    `page` says how.
    """
    places = filter(None, (images, maps, listing))
    return tuple(SourceFile("", place, pages=(page,)) for place in places)


def _is_map(name: str) -> bool:
    return name.endswith(".png") and not name.startswith(".")


def _bytes(path: Path) -> NDArray[np.uint8]:
    """(h, w) pixels of a PNG of one byte a pixel. MissingDataError if the file is not one."""
    try:
        with Image.open(path, formats=["PNG"]) as file:
            if file.mode not in ("L", "P"):  # palette colours only serve for display
                raise MissingDataError(f"{path} is {file.mode}, not a byte (L or P) for each pixel")
            return np.asarray(file)
    except FileNotFoundError:
        raise MissingDataError(f"no label map {path}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MissingDataError(f"cannot read label map {path}: {error}") from error
