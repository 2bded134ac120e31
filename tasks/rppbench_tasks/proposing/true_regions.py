"""Data sets of regions: the true regions of a data set's images, each with its class as the label.

POMP tunes its prompts so for segmentation (Ren et al., NeurIPS 2023, section 4.2; the code is that
of ZSSeg): an image of each class that a label map holds, with everything else painted over.
A name says how the regions are cut out, and of which data set: 'masks:demo-2-scenes'. Any method
learns from such a data set as from any other.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import ClassVar

from PIL import Image

from rppbench import cache_folder
from rppbench.contracts import (
    IGNORED,
    UNLABELLED,
    Dataset,
    DenseDataset,
    DetectionSet,
    Extent,
    Sample,
    SegmentationSet,
)
from rppbench.files.atomic import write_atomically
from rppbench_tasks.proposing.boxes import CONTEXT, square_around
from rppbench_tasks.proposing.masks import part_of
from rppbench_tasks.segmenting.crops import cut_out

VERSION = 1
"""Increased when the same annotations would give other regions or crops."""
FILL = (123, 117, 104)
"""CLIP's mean colour, which scoring paints around masks too; a data set knows no backbone."""


class RegionCrops(Dataset):
    """The regions of the images of another data set. The classes it calls unseen are held out."""

    base: ClassVar[type[DenseDataset]]
    """The data set that the images belong to."""

    def __init__(self) -> None:
        self.scenes = self.base()
        self._listed: dict[str, Sequence[Sample]] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return _opened, (self.name.partition(":")[0], self.base)

    @abstractmethod
    def regions(self, scene: Sample) -> Mapping[int, int]:
        """Labels of an image's regions, by a number that says which region it is."""

    @abstractmethod
    def crop(self, scene: Sample, region: int) -> Image.Image:
        """The image of a region."""

    @property
    def classes(self) -> Sequence[str]:
        return self.scenes.classes

    def held_out(self) -> Sequence[int]:
        return self.scenes.unseen()

    def samples(self, split: str) -> Sequence[Sample]:
        """The regions of the split's images, in their order; keys are 'train/17#3'."""
        if split not in self._listed:
            self._listed[split] = [Sample(key, label) for key, label in self._regions(split)]
        return self._listed[split]

    def image(self, sample: Sample) -> Image.Image:
        scene, _, region = sample.key.rpartition("#")
        return self.crop(Sample(scene, UNLABELLED), int(region))

    def extents(self, sample: Sample) -> Sequence[Extent]:
        """The files of the image and of its annotations."""
        scene = Sample(sample.key.rpartition("#")[0], UNLABELLED)
        paths = (self.scenes.file(scene), self.scenes.annotation_file(scene))
        return [Extent(path) for path in paths if path is not None]

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        """Covers the size of the annotations of each training image, where these are in files."""
        sizes: list[tuple[str, int]] = []
        if not self.scenes.generated:
            for scene in self.scenes.samples("train"):
                path = self.scenes.annotation_file(scene)
                sizes.append((scene.key, path.stat().st_size if path and path.exists() else -1))
        facts = (VERSION, self.name.partition(":")[0], self.scenes.fingerprint(), sizes)
        text = json.dumps(facts)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _regions(self, split: str) -> Iterable[tuple[str, int]]:
        """(key, label) of all regions of a split. Every annotation is read once, then cached."""
        scenes = self.scenes.samples(split)
        file = cache_folder() / "regions" / f"{self.fingerprint()}-{split}.json"
        try:
            listed: list[tuple[str, int]] = json.loads(file.read_bytes())
        except (OSError, ValueError):
            listed = [
                (f"{scene.key}#{region}", label)
                for scene in scenes
                for region, label in self.regions(scene).items()
            ]
            os.makedirs(file.parent, exist_ok=True)
            write_atomically(file, json.dumps(listed).encode())
        return listed


class MaskCrops(RegionCrops):
    """The pixels of each class that an image shows, in the middle of a square; `geometry=square`.

    A number of a region is its label: all things of a class are one region, as in ZSSeg.
    """

    def regions(self, scene: Sample) -> Mapping[int, int]:
        assert isinstance(self.scenes, SegmentationSet)
        labels = sorted({*self.scenes.label_map(scene).ravel().tolist()} - {IGNORED})
        return {label: label for label in labels}

    def crop(self, scene: Sample, region: int) -> Image.Image:
        assert isinstance(self.scenes, SegmentationSet)
        part = part_of(self.scenes.label_map(scene) == region)
        assert part is not None, "a region has pixels"
        return cut_out(self.scenes.image(scene), part, FILL, self.square)

    square: ClassVar[bool] = True
    """Whether the crop keeps its proportions."""


class StretchedCrops(MaskCrops):
    """The same, with each box stretched to a square; `geometry=stretch`."""

    square = False


class BoxCrops(RegionCrops):
    """A square around each true box, with some of what is around it. Groups are left out."""

    def regions(self, scene: Sample) -> Mapping[int, int]:
        assert isinstance(self.scenes, DetectionSet)
        listed = enumerate(self.scenes.instances(scene))
        return {at: one.label for at, one in listed if not one.crowd and min(one.box[2:]) > 0}

    def crop(self, scene: Sample, region: int) -> Image.Image:
        assert isinstance(self.scenes, DetectionSet)
        box = self.scenes.instances(scene)[region].box
        return square_around(self.scenes.image(scene), box, CONTEXT)


KINDS: Mapping[str, tuple[type[RegionCrops], type[DenseDataset]]] = {
    "masks": (MaskCrops, SegmentationSet),
    "stretched-masks": (StretchedCrops, SegmentationSet),
    "boxes": (BoxCrops, DetectionSet),
}
"""How regions are cut out, and the data sets that have such regions, by the start of a name."""


@cache
def regions_of(kind: str, base: type[Dataset]) -> type[Dataset] | None:
    """The data set of the regions of another; None if it has none of this kind."""
    if kind not in KINDS or not issubclass(base, KINDS[kind][1]):
        return None
    crops, _ = KINDS[kind]
    attributes = {
        "name": f"{kind}:{base.name}",
        "title": f"{base.title} ({kind.replace('-', ' ')})",
        "base": base,
        "template": base.template,
        "generated": base.generated,
        "version": base.version,
        "licence": base.licence,
        "size": base.size,
        "role": "source",
        "suite": "",
        # That of the data: its code decides what the regions are.
        "__module__": base.__module__,
        "__doc__": str(crops.__doc__),
    }
    return type(crops.__name__, (crops,), attributes)


def _opened(kind: str, base: type[Dataset]) -> Dataset:
    """The data set, opened again in another process."""
    opened = regions_of(kind, base)
    assert opened is not None
    return opened()
