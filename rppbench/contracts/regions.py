"""What segmentation and detection ask of a data set beside images and names: labelled regions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts.dataset import Dataset, Sample

IGNORED = 65535
"""In a label map: pixels that are not scored."""

UNLABELLED = -1
"""`Sample.label` of an image of many things."""

Segmentation = dict[str, object] | list[list[float]]
"""A mask as COCO's files have it: RLE or polygons."""


@dataclass(frozen=True)
class Thing:
    """One object of an image."""

    label: int
    """Position in `Dataset.classes`."""
    box: tuple[float, float, float, float]
    """x, y, width, height in pixels, as COCO has it."""
    mask: NDArray[np.bool_] | None = None
    """(h, w) of the image; what is hidden behind other things is not in it."""
    crowd: bool = False
    """Stands for a group; matching it is neither right nor wrong."""
    area: float | None = None
    """Pixels, which decide between small, medium and large; None takes the mask's or the box's."""
    segmentation: Segmentation | None = None
    """The mask where it is not decoded; serves only scores of masks."""


class Checked(NamedTuple):
    """What is known of an image that was annotated for some classes only (LVIS)."""

    absent: Sequence[int]
    """Labels that it was searched for in vain. Neither these nor labels of its things: unknown."""
    incomplete: Sequence[int]
    """Labels of things of which more may be there than have a box."""


@dataclass(frozen=True)
class Detections:
    """What was found in one image: n boxes."""

    boxes: NDArray[np.float32]
    """(n, 4) x, y, width, height in pixels."""
    scores: NDArray[np.float32]
    """(n,)"""
    labels: NDArray[np.int64]
    """(n,) positions in `Dataset.classes`."""
    masks: Sequence[Segmentation] = ()
    """n masks as RLE, or none."""

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Compared:
    """What is on an image and what was found, to look at: both label maps (h, w), or both boxes."""

    key: str
    image: Image.Image
    truth: NDArray[np.uint16] | Detections
    found: NDArray[np.uint16] | Detections


class DenseDataset(Dataset):
    """Images of several things; a sample's own label is `UNLABELLED`."""

    def unseen(self) -> Sequence[int]:
        """Labels that nothing was learned of; the others are the seen ones."""
        return ()

    @classmethod
    def vocabulary(cls) -> Sequence[str]:
        """The class names where they are known without the data; () where only files tell."""
        return ()

    def stem(self, sample: Sample) -> str:
        """What the image's file is called, without folder and ending."""
        return PurePosixPath(sample.key).stem


class Published(NamedTuple):
    """How ZSSeg and POMP evaluate a set."""

    weight: float
    """Of the ensemble."""
    short: int
    """Pixels of the shorter side, unless the longer one would be above `long`."""
    long: int


class SegmentationSet(DenseDataset):
    """Images with a label for each pixel."""

    published: ClassVar[Published | None] = None
    """Settings of papers, taken where the user asks for them."""

    @abstractmethod
    def label_map(self, sample: Sample) -> NDArray[np.uint16]:
        """(h, w) labels of the image's pixels; `IGNORED` where nothing is scored."""

    def result_ids(self) -> Sequence[int]:
        """What frameworks call the classes in their results, by label."""
        return range(len(self.classes))


class DetectionSet(DenseDataset):
    """Images with boxes."""

    @abstractmethod
    def things(self, sample: Sample) -> Sequence[Thing]:
        """The objects of an image; none is an answer."""

    def shape(self, sample: Sample) -> tuple[int, int]:
        """Height and width of an image in pixels; decodes it unless a set knows better."""
        width, height = self.image(sample).size
        return height, width

    def image_ids(self, split: str) -> Sequence[int]:
        """What COCO files call the images, in the order of `samples`."""
        return range(1, len(self.samples(split)) + 1)

    def category_ids(self) -> Sequence[int]:
        """What COCO files call the classes, by label; numbers may be left out."""
        return range(1, len(self.classes) + 1)

    def frequencies(self) -> Sequence[str]:
        """'r', 'c' or 'f' by label where images are annotated for some classes only, as in LVIS.

        () where every image is annotated for all classes.
        """
        return ()

    def checked(self, sample: Sample) -> Checked:
        """Which classes an image was annotated for; asked only where there are `frequencies`."""
        return Checked((), ())
