"""Training images of the backbones, composed a batch at a time from train-pool drawings.

They are more varied and harder than the images of the shipped renderer.
Shapes: b images, k layers of drawings (the last on top), s pixels of the canvas's side.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from concepts import SILHOUETTES
from numpy.typing import NDArray
from PIL import Image
from sheets import TRAINING
from torch import Tensor

from rppbench_datasets.world.artwork import CELL, Concept, concepts, sprite

CANVAS = 64
"""Side of a composed image in pixels; `Composition.resized` gives the size that a tower takes."""

UNFLIPPED = ("signs", "flags", "media", "hands")
"""Subjects whose drawings are never mirrored, since that would change the meaning."""

PAPER = (244, 242, 236)
"""Colour of the card behind silhouettes."""

SIDED = ("left", "right", "o'clock", "thirty", "clock")
"""Words in names of concepts that are never mirrored."""


@dataclass(frozen=True)
class Composition:
    """A batch of composed images, and what they show."""

    images: Tensor
    """(b, 3, s, s) in [0, 1]."""
    labels: Tensor
    """(b, k) index of the concept in each layer; -1 for an empty layer."""
    cover: Tensor
    """(b, k, s, s) visible coverage of each layer in 0..1."""
    vendors: list[str]
    """Vendor of the drawing in the first layer, for each image."""
    scale: Tensor
    """(b,) size of the drawing in the first layer as a share of the canvas."""
    paired: Tensor
    """(b,) whether the first two layers are two subjects side by side."""
    crowded: Tensor
    """(b,) whether the image is a crop of a scene."""
    ground: Tensor
    """(b, 3) mean colour of the background."""

    def resized(self, size: int) -> Tensor:
        """The images (b, 3, size, size), normalised as the models expect."""
        images = self.images
        if size != CANVAS:
            images = F.interpolate(
                images, size=(size, size), mode="bilinear", antialias=True, align_corners=False
            )
        return (images - 0.5) / 0.3


class Drawings:
    """All train-pool drawings of a build (OUT/training), as one tensor of pixels."""

    def __init__(self, out: Path) -> None:
        self.concepts: list[Concept] = list(concepts(out / TRAINING))
        self.rows: list[list[int]] = []
        """Concept -> indices of its drawings."""
        self.vendors: list[str] = []
        cells: list[NDArray[np.uint8]] = []
        for concept in self.concepts:
            row = []
            for drawing in concept.pool("train"):
                row.append(len(cells))
                pixels = sprite(drawing)
                cells.append(_on_card(pixels) if drawing.vendor == SILHOUETTES else pixels)
                self.vendors.append(drawing.vendor)
            self.rows.append(row)
        self.pixels = torch.from_numpy(np.stack(cells)).permute(0, 3, 1, 2).contiguous()
        flip = [
            c.subject not in UNFLIPPED and not any(word in c.name for word in SIDED)
            for c in self.concepts
        ]
        self.flips = torch.tensor(flip)

    def sprites(self, index: Tensor) -> Tensor:
        """Pixels (n, 4, 72, 72) of the drawings at `index` (n,), premultiplied, in [0, 1]."""
        cells = self.pixels[index].float() / 255
        cells[:, :3] *= cells[:, 3:]
        return cells


@cache
def _card() -> NDArray[np.uint8]:
    """Alpha (72, 72) of a square with round corners."""
    reach = np.abs(np.arange(CELL) - (CELL - 1) / 2)
    beyond = np.maximum(reach - (CELL / 2 - 14), 0)
    distance = np.hypot(beyond[:, None], beyond[None, :])
    return (255 * np.clip(14 - distance, 0, 1)).astype(np.uint8)


def _on_card(cell: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A silhouette (72, 72, 4), reduced, on a light card: it would vanish on dark backgrounds."""
    inner = CELL * 5 // 6
    margin = (CELL - inner) // 2
    small = np.asarray(
        Image.fromarray(cell).resize((inner, inner), Image.Resampling.BILINEAR), np.float32
    )
    out = np.empty((CELL, CELL, 4), np.uint8)
    out[..., :3] = PAPER
    out[..., 3] = _card()
    cover = small[..., 3:] / 255
    window = out[margin : margin + inner, margin : margin + inner, :3]
    window[:] = small[..., :3] * cover + window * (1 - cover) + 0.5
    return out


def shuffled(stream: random.Random, count: int) -> list[int]:
    """0 to count - 1 in a random order."""
    order = list(range(count))
    stream.shuffle(order)
    return order


def compose(
    drawings: Drawings, labels: Tensor, generator: torch.Generator, scene: float, pair: float
) -> Composition:
    """One image for each label (b,); a share is crowded (`scene`) or has two subjects (`pair`).

    In a pair both drawings stand side by side. A crowded image is a crop of a scene: up to three
    drawings at any scale, partly outside it, of which the labelled one is not the main one.
    """
    b, k = len(labels), 3

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    mode = uniform(b)
    crowded, paired = mode < scene, (mode >= scene) & (mode < scene + pair)
    single = ~(crowded | paired)
    distracted = single & (uniform(b) < 0.12)
    others = torch.randint(len(drawings.concepts), (b, k), generator=generator)
    chosen = torch.where(torch.arange(k) == 0, labels[:, None], others)
    present = torch.zeros(b, k, dtype=torch.bool)
    present[:, 0] = True
    present[:, 1] = crowded & (uniform(b) < 0.8) | paired | distracted
    present[:, 2] = crowded & (uniform(b) < 0.5)

    scale = uniform(b, k, low=0.6, high=1.02)
    closer = uniform(b) < 0.15
    scale[:, 0] = torch.where(closer, uniform(b, low=1.0, high=1.35), scale[:, 0])
    scale = torch.where(paired[:, None], uniform(b, k, low=0.42, high=0.58), scale)
    scale = torch.where(crowded[:, None], uniform(b, k, low=0.6, high=1.5), scale)
    scale[:, 1] = torch.where(distracted, uniform(b, low=0.2, high=0.4), scale[:, 1])
    shift = uniform(b, k, 2, low=-0.09, high=0.09)
    side = uniform(b, 1, low=-math.pi, high=math.pi)
    apart = torch.cat([side.cos(), side.sin()], 1) * 0.25
    shift[:, 0] += paired[:, None] * apart
    shift[:, 1] -= paired[:, None] * apart
    shift = torch.where(crowded[:, None, None], uniform(b, k, 2, low=-0.55, high=0.55), shift)
    edge = torch.cat([side.cos(), side.sin()], 1) * uniform(b, 1, low=0.3, high=0.45)
    shift[:, 1] = torch.where(distracted[:, None], edge, shift[:, 1])
    angle = torch.randn(b, k, generator=generator) * 0.2
    mirror = torch.where(drawings.flips[chosen] & (uniform(b, k) < 0.5), -1.0, 1.0)
    squeeze = 1 + 0.1 * torch.randn(b, k, generator=generator).clamp(-2, 2)

    ground = background(b, uniform, generator)
    image = ground
    mean = ground.mean((2, 3))
    visible: list[Tensor] = []
    vendors: list[str] = []
    for layer in range(k):
        rows = present[:, layer].nonzero()[:, 0]
        full = torch.zeros(b, 1, CANVAS, CANVAS)
        if len(rows):
            index = []
            for row in rows.tolist():
                options = drawings.rows[int(chosen[row, layer])]
                at = int(torch.randint(len(options), (), generator=generator))
                index.append(options[at])
            if layer == 0:
                vendors = [drawings.vendors[i] for i in index]
            s, a = scale[rows, layer], angle[rows, layer]
            cos, sin = a.cos() / s, a.sin() / s
            dx, dy = 2 * shift[rows, layer, 0], 2 * shift[rows, layer, 1]
            m, q = mirror[rows, layer], squeeze[rows, layer]
            theta = torch.stack(
                [
                    torch.stack([m * q * cos, m * q * sin, -m * q * (cos * dx + sin * dy)], 1),
                    torch.stack([-sin / q, cos / q, -(-sin * dx + cos * dy) / q], 1),
                ],
                1,
            )
            grid = F.affine_grid(theta, [len(rows), 4, CANVAS, CANVAS], align_corners=False)
            cells = recoloured(drawings.sprites(torch.tensor(index)), uniform)
            layer_pixels = F.grid_sample(cells, grid, mode="bilinear", align_corners=False)
            alpha = layer_pixels[:, 3:]
            image = image.index_copy(0, rows, layer_pixels[:, :3] + image[rows] * (1 - alpha))
            full[rows] = alpha
            visible = [v * (1 - full) for v in visible]
        visible.append(full)
    image = degraded(image, uniform, generator)
    cover = torch.cat(visible, 1)
    labels_shown = torch.where(present, chosen, -1)
    return Composition(
        image.clamp(0, 1), labels_shown, cover, vendors, scale[:, 0], paired, crowded, mean
    )


def recoloured(cells: Tensor, uniform) -> Tensor:  # type: ignore[no-untyped-def]
    """Cells (n, 4, h, w) with slightly mixed colour channels, a few in grey; premultiplied."""
    n = len(cells)
    mix = torch.eye(3) + 0.08 * (uniform(n, 3, 3) * 2 - 1)
    rolled = torch.eye(3).roll(1, 0)
    mix = torch.where((uniform(n) < 0.04)[:, None, None], rolled.expand(n, 3, 3), mix)
    grey = torch.full((3, 3), 1 / 3)
    mix = torch.where((uniform(n) < 0.08)[:, None, None], grey.expand(n, 3, 3), mix)
    gain = uniform(n, 1, 1, low=0.8, high=1.15)
    lift = uniform(n, 1, 1, low=-0.06, high=0.06)
    colour = torch.einsum("nij,njhw->nihw", mix * gain, cells[:, :3])
    colour = colour + lift[..., None] * cells[:, 3:]
    return torch.cat([torch.minimum(colour.clamp(min=0), cells[:, 3:]), cells[:, 3:]], 1)


def background(b: int, uniform, generator: torch.Generator) -> Tensor:  # type: ignore[no-untyped-def]
    """Backgrounds (b, 3, s, s): soft textures, plain colours, gradients, blotches and stripes.

    Computed at half size: they are smooth, and this is the costly part of an image.
    """
    side = CANVAS // 2
    base = uniform(b, 3, 1, 1, low=0.05, high=0.95)
    pale = uniform(b) < 0.25
    base = torch.where(pale[:, None, None, None], 0.75 + 0.25 * base, base)
    kind = uniform(b)[:, None, None, None]
    soft = torch.randn(b, 3, 5, 5, generator=generator)
    soft = F.interpolate(soft, (side, side), mode="bicubic", align_corners=False)
    fine = torch.randn(b, 1, 16, 16, generator=generator)
    fine = F.interpolate(fine, (side, side), mode="bilinear", align_corners=False)
    line = torch.linspace(-1, 1, side)
    angle = uniform(b, 1, 1, low=-math.pi, high=math.pi)
    slope = (angle.cos() * line[None, None, :] + angle.sin() * line[None, :, None])[:, None]
    waves = torch.sin(slope * uniform(b, 1, 1, 1, low=6, high=30))
    tint = torch.randn(b, 3, 1, 1, generator=generator)
    image = base + torch.where(kind < 0.45, 0.06 * soft + 0.03 * fine, torch.zeros(()))
    image = image + torch.where((kind > 0.6) & (kind < 0.75), 0.2 * tint * slope, torch.zeros(()))
    image = image + torch.where((kind > 0.7) & (kind < 0.87), 0.22 * soft, torch.zeros(()))
    image = image + torch.where(kind > 0.84, 0.12 * tint * waves + 0.05 * fine, torch.zeros(()))
    return F.interpolate(image.clamp(0, 1), scale_factor=2, mode="bilinear", align_corners=False)


def degraded(image: Tensor, uniform, generator: torch.Generator) -> Tensor:  # type: ignore[no-untyped-def]
    """Images (b, 3, s, s), some with a covered part, some with a little noise."""
    b = len(image)
    line = torch.linspace(-1, 1, CANVAS)
    centre = uniform(b, 2, low=-0.9, high=0.9)
    reach = uniform(b, 2, low=0.15, high=0.4)
    inside_x = (line[None] - centre[:, :1]).abs() < reach[:, :1]
    inside_y = (line[None] - centre[:, 1:]).abs() < reach[:, 1:]
    patch = inside_x[:, None, None, :] & inside_y[:, None, :, None]
    patch = patch & (uniform(b) < 0.12)[:, None, None, None]
    image = torch.where(patch, uniform(b, 3, 1, 1), image)
    noisy = (uniform(b) < 0.2).nonzero()[:, 0]
    noise = 0.04 * torch.randn(len(noisy), *image.shape[1:], generator=generator)
    return image.index_add(0, noisy, noise)
