"""Data sets with labelled regions, for segmentation and detection."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.errors import UsageError

IGNORED = 65535
"""The label, in a label map, of pixels that are not scored."""

UNLABELLED = -1
"""`Sample.label` of an image that shows several objects."""

Segmentation = dict[str, object] | list[list[float]]
"""A mask as in COCO's files: RLE or polygons."""


@dataclass(frozen=True)
class Instance:
    """One annotated object of an image."""

    label: int
    """Position in `Dataset.classes`."""
    box: tuple[float, float, float, float]
    """x, y, width, height in pixels, as in COCO's files."""
    mask: NDArray[np.bool_] | None = None
    """(h, w) of the image; True where the object is visible."""
    crowd: bool = False
    """Whether it is a group of objects; a detection of it is neither right nor wrong."""
    area: float | None = None
    """In pixels, for scores of small, medium and large objects; None takes that of mask or box."""
    segmentation: Segmentation | None = None
    """The mask as stored, if it is not decoded; only scores of masks need it."""


class PartialAnnotation(NamedTuple):
    """The classes that an image was annotated for, in data sets where these are not all (LVIS).

    A class that is neither absent nor among its instances may or may not be in the image.
    """

    absent: Sequence[int]
    """Labels of classes that annotators looked for and did not see."""
    incomplete: Sequence[int]
    """Labels of classes whose instances do not all have a box."""


@dataclass(frozen=True)
class Detections:
    """Predicted boxes of one image, n of them."""

    boxes: NDArray[np.float32]
    """(n, 4) x, y, width, height in pixels."""
    scores: NDArray[np.float32]
    """(n,)"""
    labels: NDArray[np.int64]
    """(n,) positions in `Dataset.classes`."""
    masks: Sequence[Segmentation] = ()
    """n masks as RLE, or () where there are only boxes."""

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Comparison:
    """An image with truth and prediction: two label maps (h, w), or two sets of boxes."""

    key: str
    """The sample's key."""
    image: Image.Image
    truth: NDArray[np.uint16] | Detections
    prediction: NDArray[np.uint16] | Detections


class DenseDataset(Dataset):
    """Images of several objects each; a sample's own label is `UNLABELLED`."""

    def unseen(self) -> Sequence[int]:
        """Labels of classes without training images; the others are the seen ones."""
        return ()

    @classmethod
    def vocabulary(cls) -> Sequence[str]:
        """The class names if they are known without the data's files, else ()."""
        return ()

    def stem(self, sample: Sample) -> str:
        """Name of the image's file, without folder and ending."""
        return PurePosixPath(sample.key).stem

    def annotation_file(self, sample: Sample) -> Path | None:
        """The file with the label map or the boxes of an image; many images may share one.

        None if there is none: the annotations are then read once for each `fingerprint`, which
        alone says whether they changed.
        """
        return None


class PublishedSettings(NamedTuple):
    """The settings with which POMP evaluates a data set in ZSSeg's framework.

    Each has the meaning of the segmentation task's option of the same name.
    """

    weight: float
    """Weight of the ensemble, 0..1."""
    short: int
    """Pixels of the shorter side, unless the longer one would be above `long`."""
    long: int
    """Largest number of pixels of the longer side."""
    threshold: float = 0.5
    """Share of a soft mask above which a pixel belongs to the crop that is classified."""


class DetectorSettings(NamedTuple):
    """The settings with which Detic and POMP evaluate a data set with boxes.

    Each has the meaning of the detection task's option of the same name.
    """

    at_most: int
    """Proposals kept for an image."""
    threshold: float
    """Score below which a detection is dropped."""
    detections: int
    """Detections kept for an image."""
    score: Literal["product", "class"]


class SegmentationSet(DenseDataset):
    """Images with a label for each pixel."""

    published: ClassVar[PublishedSettings | None] = None
    """Settings of the papers, used where the task's option `published` is on."""
    maskclip_size: ClassVar[tuple[int, int] | None] = None
    """(short, long) sides in pixels that MaskCLIP scales images to."""

    @abstractmethod
    def label_map(self, sample: Sample) -> NDArray[np.uint16]:
        """(h, w) labels of the image's pixels; `IGNORED` where nothing is scored."""

    def words(self) -> Sequence[Sequence[str]]:
        """What each class is called, by label; of several words the best counts."""
        return [[name] for name in self.classes]

    def maskclip_names(self) -> Sequence[str]:
        """The class names that MaskCLIP uses, by label. UsageError if it has none."""
        raise UsageError(f"MaskCLIP has no class names for data set {self.name!r}")

    def result_ids(self) -> Sequence[int]:
        """Ids of the classes in other frameworks' result files, by label."""
        return range(len(self.classes))


class DetectionSet(DenseDataset):
    """Images with boxes."""

    published_detector: ClassVar[DetectorSettings | None] = None
    """Settings of the papers, used where the task's option `published` is on."""

    @abstractmethod
    def instances(self, sample: Sample) -> Sequence[Instance]:
        """The annotated objects of an image; may be empty."""

    def shape(self, sample: Sample) -> tuple[int, int]:
        """Height and width of an image in pixels; by default the image is decoded."""
        width, height = self.image(sample).size
        return height, width

    def image_ids(self, split: str) -> Sequence[int]:
        """Ids of the images in COCO's files, in the order of `samples`."""
        return range(1, len(self.samples(split)) + 1)

    def category_ids(self) -> Sequence[int]:
        """Ids of the classes in COCO's files, by label; there may be gaps."""
        return range(1, len(self.classes) + 1)

    def frequencies(self) -> Sequence[str]:
        """'r' (rare), 'c' (common) or 'f' (frequent) by label, for images annotated as in LVIS.

        () where every image is annotated for all classes.
        """
        return ()

    def partial_annotation(self, sample: Sample) -> PartialAnnotation:
        """Which classes an image was annotated for; used only where there are `frequencies`."""
        return PartialAnnotation((), ())
