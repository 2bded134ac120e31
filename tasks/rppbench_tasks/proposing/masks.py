"""Class-agnostic masks of an image: where they come from, and how they are stored.

At full size the masks of a large image would be gigabytes, so each is held only within its box.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Mask = NDArray[np.bool_]

MOST = 1000
"""Most masks that are used of an image: the first ones."""


class MaskSource(Protocol):
    """A source of the masks of images."""

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> Iterable[Mask]:
        """Masks (h, w) of the image; `original` is its (h, w) before it was scaled."""

    def identity(self, key: str) -> str:
        """A text that is unique to these masks of an image."""


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
    parts = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            top, left = int(rows[0]), int(columns[0])
            inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
            parts.append(Part(top, left, inside.copy()))
        if len(parts) == MOST:
            break
    return parts


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
