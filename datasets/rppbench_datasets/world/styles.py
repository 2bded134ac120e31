"""Styles: fixed changes of a complete image, by name.

The world shows its images in `STYLE`, which the shipped CLIP `demo` was not trained on. It was
chosen from these candidates by `datasets/world/choose_style.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

PLAIN = "plain"
"""The name of images as they are rendered."""


def _rolled(pixels: Pixels) -> Pixels:
    return pixels[..., [1, 2, 0]]


def _turned(pixels: Pixels) -> Pixels:
    return pixels.transpose(1, 0, 2)[::-1]


def _grey(pixels: Pixels) -> Pixels:
    mean = pixels.mean(2, keepdims=True).round().astype(np.uint8)
    return np.repeat(mean, 3, axis=2)


def _quarters(pixels: Pixels) -> Pixels:
    """The image shifted by half its side, both ways: its corners meet in the middle."""
    half = len(pixels) // 2
    return np.roll(pixels, (half, half), (0, 1))


def _swirled(pixels: Pixels) -> Pixels:
    """Turned around the middle: by 120 degrees there, by 0 at the rim (nearest pixels)."""
    side = len(pixels)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(x, y) / (side / 2)
    angle = np.deg2rad(120) * np.clip(1 - radius, 0, None)
    cos, sin = np.cos(angle), np.sin(angle)
    source = np.stack([sin * x + cos * y, cos * x - sin * y]) + (side - 1) / 2
    row, column = np.clip(np.rint(source), 0, side - 1).astype(np.int64)
    return pixels[row, column]


def _solarised(pixels: Pixels) -> Pixels:
    return np.where(pixels < 128, pixels, 255 - pixels)


def _upside_down(pixels: Pixels) -> Pixels:
    return pixels[::-1]


def _negative(pixels: Pixels) -> Pixels:
    return 255 - pixels


def _same(pixels: Pixels) -> Pixels:
    return pixels


@dataclass(frozen=True)
class Style:
    """A change of an image; its parts keep the shape of what they are given."""

    change: Callable[[Pixels], Pixels] = _same
    """What happens to pixels (side, side, 3)."""
    move: Callable[[Pixels], Pixels] = _same
    """Where pixels (side, side, n) are moved to afterwards; masks move with them."""


STYLES: Mapping[str, Style] = {
    PLAIN: Style(),
    "rolled": Style(_rolled),
    "turned": Style(move=_turned),
    "upside-down": Style(move=_upside_down),
    "rolled-turned": Style(_rolled, _turned),
    "rolled-upside-down": Style(_rolled, _upside_down),
    "grey-turned": Style(_grey, _turned),
    "negative": Style(_negative),
    "solarised": Style(_solarised),
    "grey": Style(_grey),
    "quarters": Style(move=_quarters),
    "swirled": Style(move=_swirled),
}
"""The candidates: 'rolled' rotates the colour channels, 'quarters' shifts the image by half of its
side both ways, 'turned' is a quarter turn."""

STYLE = "negative"
"""The style of the world."""

OTHERS = ("rolled-turned", "rolled-upside-down")
"""Styles of its shift sets."""


def apply(style: str, pixels: Pixels) -> Pixels:
    """Pixels (side, side, 3) in a style."""
    kind = STYLES[style]
    return np.ascontiguousarray(kind.move(kind.change(pixels)))


def styled(image: Image.Image, style: str) -> Image.Image:
    """An RGB image in a style."""
    return Image.fromarray(apply(style, np.asarray(image)))
