"""The renderer of the embedded world: drawings on a background; each image depends on its key only.

Images are not stored, and nothing is seeded globally: every choice (place, rotation, size, colours,
texture) comes from a random generator that is seeded with the image's key. Colours are 0..255.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench_datasets.world.artwork import CELL, Drawing, sprite

VERSION = "1"
"""Increased when the same key would give other pixels."""

SIDE = 96
"""Side of a classification image in pixels."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def stream(key: str) -> np.random.Generator:
    """A random generator seeded with a key."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return np.random.Generator(np.random.PCG64(seed))


def texture(rng: np.random.Generator, side: int = SIDE) -> Floats:
    """A soft, low-contrast background (side, side, 3)."""
    base = rng.uniform(15, 240, 3)
    blotches = base + rng.normal(0, 14, (5, 5, 3))
    grain = rng.normal(128, 9, (side // 4, side // 4))
    soft = _upscaled(blotches, side, Image.Resampling.BICUBIC)
    return soft + (_upscaled(grain, side, Image.Resampling.BILINEAR) - 128)[..., None]


def pattern(rng: np.random.Generator, side: int = SIDE) -> Floats:
    """A high-contrast background (side, side, 3): stripes, checks, dots or a gradient."""
    colours = rng.uniform(20, 235, (2, 3)).astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(10, 26)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    across = x * np.cos(angle) + y * np.sin(angle)
    along = y * np.cos(angle) - x * np.sin(angle)
    wave, other = np.sin(across * 2 * np.pi / period), np.sin(along * 2 * np.pi / period)
    kind = rng.integers(4)
    if kind == 0:
        share = wave > 0
    elif kind == 1:
        share = wave * other > 0
    elif kind == 2:
        share = wave + other > 1
    else:
        share = (across - across.min()) / np.ptp(across)
    mix = np.asarray(share, np.float32)[..., None]
    mixed: Floats = colours[0] * (1 - mix) + colours[1] * mix
    return mixed


def place(
    canvas: Floats,
    drawing: Drawing,
    rng: np.random.Generator,
    width: float,
    centre: Sequence[float],
    turn: float = 15.0,
) -> Floats:
    """Paint a drawing onto the canvas (side, side, 3), in place, `width` pixels wide.

    Returns the coverage (side, side) of the drawing in 0..1. `centre` is (x, y) in pixels;
    `turn` bounds the random rotation in degrees. The hue is shifted a little.
    """
    side = canvas.shape[0]
    angle = np.deg2rad(rng.uniform(-turn, turn))
    cell = sprite(drawing).astype(np.float32)
    mix = np.eye(3) + rng.uniform(-0.05, 0.05, (3, 3))
    coloured = np.clip(cell[..., :3] @ mix.T.astype(np.float32), 0, 255)
    # Pillow premultiplies RGBA when it resamples, so the transparent rim does not bleed in.
    layer = Image.fromarray(np.concatenate([coloured, cell[..., 3:]], 2).astype(np.uint8))
    ratio = CELL / width
    cos, sin = ratio * np.cos(angle), ratio * np.sin(angle)
    x, y = centre
    affine = (cos, sin, CELL / 2 - cos * x - sin * y, -sin, cos, CELL / 2 + sin * x - cos * y)
    turned = layer.transform(
        (side, side), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
    )
    painted = np.asarray(turned, np.float32)
    cover: Floats = painted[..., 3] / np.float32(255)
    canvas *= (1 - cover)[..., None]
    canvas += painted[..., :3] * cover[..., None]
    return cover


def single(drawing: Drawing, key: str, ground: str = "texture") -> Image.Image:
    """The image of one drawing on a background, `ground`: 'texture' or 'pattern'."""
    rng = stream(key)
    canvas = texture(rng) if ground == "texture" else pattern(rng)
    centre = SIDE / 2 + rng.uniform(-0.06, 0.06, 2) * SIDE
    place(canvas, drawing, rng, rng.uniform(0.65, 1.0) * SIDE, tuple(centre))
    return to_image(canvas)


def to_image(canvas: Floats) -> Image.Image:
    """The canvas (side, side, 3) as an RGB image."""
    return Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8))


def _upscaled(small: NDArray[np.float64], side: int, how: Image.Resampling) -> Floats:
    pixels = Image.fromarray(np.clip(small, 0, 255).astype(np.uint8))
    return np.asarray(pixels.resize((side, side), how), np.float32)
