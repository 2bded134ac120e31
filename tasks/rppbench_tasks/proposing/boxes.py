"""Class-agnostic boxes of an image: where they come from, and non-maximum suppression.

Boxes are (n, 4) x, y, width, height in pixels, scores (n,) in 0..1, best first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts import DetectionSet, Sample

CONTEXT = 0.1
"""Share of a box by which its crop is wider on each side."""

Boxes = tuple[NDArray[np.float32], NDArray[np.float32]]


class BoxSource(Protocol):
    """A source of the boxes of images."""

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        """Boxes and scores of an image; may be empty."""

    def identity(self) -> str:
        """A text that is unique to this source; '' if its boxes need not be stored."""


class TrueBoxes:
    """The true boxes, all with the score 1: the upper bound that classification alone can reach."""

    def __init__(self, data: DetectionSet) -> None:
        self.data = data

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        boxes = [one.box for one in self.data.instances(sample) if not one.crowd]
        rows = np.array(boxes, np.float32).reshape(-1, 4)
        return rows, np.ones(len(rows), np.float32)

    def identity(self) -> str:
        return ""


def no_boxes() -> Boxes:
    """The boxes of an image without proposals."""
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
    """Non-maximum suppression within each class: which of the scores (n, c) are kept.

    `shared` (n, n) are overlaps of the boxes. A box is dropped if a kept one with a higher score
    overlaps it by more than `limit`; of equal scores the first counts as the higher. Scores up to
    `least` are dropped too.
    """
    order = np.argsort(-scores, axis=0, kind="stable")  # (n, c)
    rank = np.argsort(order, axis=0, kind="stable")
    alive = scores > least
    classes = np.arange(scores.shape[1])
    for position, box_of in enumerate(order):  # (c,) each class's next best box
        if not (active := alive[box_of, classes]).any():
            continue
        hidden = (shared[box_of] > limit) & active[:, None]  # (c, n)
        alive &= ~(hidden.T & (rank > position))
    return alive


def square_around(image: Image.Image, box: Sequence[float], context: float) -> Image.Image:
    """A square around a box, wider than it by `context` on each side, clipped to the image."""
    x, y, width, height = (float(edge) for edge in box)
    side = max(width, height) * (1 + 2 * context)
    centre_x, centre_y = x + width / 2, y + height / 2
    left, top = max(0, round(centre_x - side / 2)), max(0, round(centre_y - side / 2))
    right = min(image.width, max(left + 1, round(centre_x + side / 2)))
    bottom = min(image.height, max(top + 1, round(centre_y + side / 2)))
    return image.crop((min(left, right - 1), min(top, bottom - 1), right, bottom))
