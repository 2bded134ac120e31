"""What segmentation and detection ask of a data set beyond images and names: labelled regions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rppbench.contracts import Dataset, Sample

IGNORED = 65535
"""In a label map: pixels that are not scored."""

UNLABELLED = -1
"""`Sample.label` of an image of many things."""


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


class DenseDataset(Dataset):
    """Images of several things; a sample's own label is `UNLABELLED`."""

    def unseen(self) -> Sequence[int]:
        """Labels that nothing was learned of; the others are the seen ones."""
        return ()


class SegmentationSet(DenseDataset):
    """Images with a label for each pixel."""

    @abstractmethod
    def label_map(self, sample: Sample) -> NDArray[np.uint16]:
        """(h, w) labels of the image's pixels; `IGNORED` where nothing is scored."""


class DetectionSet(DenseDataset):
    """Images with boxes."""

    @abstractmethod
    def things(self, sample: Sample) -> Sequence[Thing]:
        """The objects of an image; none is an answer."""
