"""Class-agnostic boxes of an image: what a source of them is, and non-maximum suppression.

Boxes are (n, 4) x, y, width, height in pixels, scores (n,) in 0..1, best first.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts import DetectionSet, Sample

Boxes = tuple[NDArray[np.float32], NDArray[np.float32]]


class Finder(Protocol):
    """Where the boxes of an image come from."""

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        """Boxes and scores of an image; none is an answer."""

    def identity(self) -> str:
        """Tells these boxes from any others; '' where asking again costs nothing."""


class TrueBoxes:
    """The boxes of the things themselves, all equally sure: what naming alone could reach."""

    def __init__(self, data: DetectionSet) -> None:
        self.data = data

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        boxes = [thing.box for thing in self.data.things(sample) if not thing.crowd]
        rows = np.array(boxes, np.float32).reshape(-1, 4)
        return rows, np.ones(len(rows), np.float32)

    def identity(self) -> str:
        return ""


def no_boxes() -> Boxes:
    """The answer for an image in which nothing was found."""
    return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)


def overlaps(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, n) intersection over union of boxes (n, 4)."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    shared = sides.clip(0).prod(2)
    areas = boxes[:, 2:].prod(1)
    both = areas[:, None] + areas[None] - shared
    return np.divide(shared, both, out=np.zeros_like(shared), where=both > 0)


def distinct(boxes: NDArray[np.float32], scores: NDArray[np.float32], limit: float) -> Boxes:
    """Boxes best first, without those that overlap a better one by more than `limit`."""
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    kept = suppress(overlaps(boxes), scores[:, None], limit)[:, 0]
    return boxes[kept], scores[kept]


def suppress(
    shared: NDArray[np.float32], scores: NDArray[np.float32], limit: float, least: float = -1.0
) -> NDArray[np.bool_]:
    """Non-maximum suppression of every class by itself: which of (n, c) scores are kept.

    `shared` (n, n) overlaps of the boxes. A box goes if a kept one with a higher score overlaps
    it by more than `limit`; of equal scores the first is the higher. Scores up to `least` go too.
    """
    order = np.argsort(-scores, axis=0, kind="stable")  # (n, c)
    rank = np.argsort(order, axis=0, kind="stable")
    alive = scores > least
    classes = np.arange(scores.shape[1])
    for place, box_of in enumerate(order):  # (c,) each class's next best box
        if not (active := alive[box_of, classes]).any():
            continue
        hidden = (shared[box_of] > limit) & active[:, None]  # (c, n)
        alive &= ~(hidden.T & (rank > place))
    return alive
