"""Images of the embedded world: a drawing on a background, a pure function of its key.

Nothing is stored and nothing is seeded globally: every choice (place, turn, size, colours,
texture) comes from a generator that starts from the image's key. Colours are 0..255.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench_datasets.world.artwork import CELL, Drawing, sprite

VERSION = "1"
"""Changes when the same key would give other pixels."""

SIDE = 96
"""Pixels a side of a classification image."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def stream(key: str) -> np.random.Generator:
    """The generator that belongs to a key."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return np.random.Generator(np.random.PCG64(seed))


def texture(draw: np.random.Generator, side: int = SIDE) -> Floats:
    """(side, side, 3) a soft, low-contrast background."""
    base = draw.uniform(15, 240, 3)
    blotches = base + draw.normal(0, 14, (5, 5, 3))
    grain = draw.normal(128, 9, (side // 4, side // 4))
    soft = _upscaled(blotches, side, Image.Resampling.BICUBIC)
    return soft + (_upscaled(grain, side, Image.Resampling.BILINEAR) - 128)[..., None]


def pattern(draw: np.random.Generator, side: int = SIDE) -> Floats:
    """(side, side, 3) two clear colours as stripes, checks, dots or a slope."""
    colours = draw.uniform(20, 235, (2, 3)).astype(np.float32)
    angle, period = draw.uniform(0, np.pi), draw.uniform(10, 26)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    across = x * np.cos(angle) + y * np.sin(angle)
    along = y * np.cos(angle) - x * np.sin(angle)
    wave, other = np.sin(across * 2 * np.pi / period), np.sin(along * 2 * np.pi / period)
    kind = draw.integers(4)
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
    draw: np.random.Generator,
    width: float,
    centre: Sequence[float],
    turn: float = 15.0,
) -> Floats:
    """Paint a drawing on the canvas, `width` pixels wide; returns its cover (side, side) in 0..1.

    `turn` bounds the rotation in degrees. The hue is shifted a little.
    """
    side = canvas.shape[0]
    angle = np.deg2rad(draw.uniform(-turn, turn))
    cell = sprite(drawing).astype(np.float32)
    mix = np.eye(3) + draw.uniform(-0.05, 0.05, (3, 3))
    coloured = np.clip(cell[..., :3] @ mix.T.astype(np.float32), 0, 255)
    # Pillow premultiplies RGBA by itself when it resamples, so the transparent rim bleeds nowhere.
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
    """One drawing on a background, 'texture' or 'pattern'."""
    draw = stream(key)
    canvas = texture(draw) if ground == "texture" else pattern(draw)
    centre = SIDE / 2 + draw.uniform(-0.06, 0.06, 2) * SIDE
    place(canvas, drawing, draw, draw.uniform(0.65, 1.0) * SIDE, tuple(centre))
    return finished(canvas)


def cluttered(drawing: Drawing, others: Sequence[Drawing], key: str) -> Image.Image:
    """A drawing among smaller others, which may hide parts of it, and a patch that hides more."""
    draw = stream(key)
    canvas = texture(draw)
    behind, *before = others
    place(canvas, behind, draw, draw.uniform(0.35, 0.5) * SIDE, tuple(draw.uniform(10, 86, 2)))
    centre = SIDE / 2 + draw.uniform(-0.12, 0.12, 2) * SIDE
    place(canvas, drawing, draw, draw.uniform(0.6, 0.85) * SIDE, tuple(centre))
    for other in before:
        way = draw.uniform(0, 2 * np.pi)
        spot = SIDE / 2 + 0.42 * SIDE * np.array([np.cos(way), np.sin(way)])
        place(canvas, other, draw, draw.uniform(0.25, 0.38) * SIDE, tuple(spot))
    left, top = draw.integers(10, 66, 2)
    width, height = draw.integers(10, 24, 2)
    canvas[top : top + height, left : left + width] = draw.uniform(20, 235, 3)
    return finished(canvas)


def finished(canvas: Floats) -> Image.Image:
    """The canvas as an RGB image."""
    return Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8))


def _upscaled(small: NDArray[np.float64], side: int, how: Image.Resampling) -> Floats:
    pixels = Image.fromarray(np.clip(small, 0, 255).astype(np.uint8))
    return np.asarray(pixels.resize((side, side), how), np.float32)
