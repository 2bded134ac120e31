"""Class-agnostic masks of an image: where they come from, and how they are stored.

At full size the masks of a large image would be gigabytes, so each is held only within its box.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Mask = NDArray[np.bool_]

MOST = 1000
"""Most masks that are used of an image: the first ones."""


class MaskSource(Protocol):
    """A source of the masks of images."""

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> Iterable[Mask]:
        """Masks (h, w) of the image; `original` is its (h, w) before it was scaled."""

    def identity(self, key: str) -> str:
        """A text that is unique to these masks of an image."""


class SoftMask(NamedTuple):
    """A mask as a model predicts it."""

    logits: Tensor
    """(h, w) in the model's resolution; a sigmoid turns them into each pixel's share."""
    confidence: float
    """Probability that the mask shows an object at all."""


@runtime_checkable
class SoftMaskSource(MaskSource, Protocol):
    """A source that can give its masks undecided, too."""

    def soft(self, image: Image.Image) -> Iterable[SoftMask]:
        """All masks of the image, also those that are hardly believed in."""


class Part(NamedTuple):
    """A mask, cut to its box."""

    top: int
    left: int
    mask: Mask
    """(h, w) of the box; each of its sides touches the mask."""

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.mask.shape[0])

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.mask.shape[1])


def parts_of(masks: Iterable[Mask]) -> list[Part]:
    """The masks that are not empty, each cut to its box; only one at a time is held in full."""
    parts: list[Part] = []
    for mask in masks:
        if (part := part_of(mask)) is not None:
            parts.append(part)
        if len(parts) == MOST:
            break
    return parts


def part_of(mask: Mask) -> Part | None:
    """The mask, cut to its box; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    return Part(top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1].copy())


def packed(parts: Iterable[Part]) -> dict[str, NDArray[np.generic]]:
    """The parts as two arrays: `places` (n, 4) of top, left, height, width, and all their bits."""
    listed = list(parts)
    places = [(part.top, part.left, *part.mask.shape) for part in listed]
    flat = [part.mask.ravel() for part in listed]
    bits = np.packbits(np.concatenate(flat)) if flat else np.zeros(0, np.uint8)
    return {"places": np.array(places, np.int32).reshape(-1, 4), "bits": bits}


def unpacked(arrays: Mapping[str, NDArray[np.generic]]) -> list[Part]:
    """The parts that `packed` turned into these arrays."""
    places = arrays["places"].astype(np.int64)
    ends = np.cumsum(places[:, 2] * places[:, 3])
    bits = np.unpackbits(arrays["bits"].astype(np.uint8)).astype(bool)
    return [
        Part(top, left, bits[end - height * width : end].reshape(height, width))
        for (top, left, height, width), end in zip(places.tolist(), ends.tolist(), strict=True)
    ]
