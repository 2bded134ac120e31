"""The composer of scenes: one to five things on a background, with masks, boxes and labels.

Later things are on top of earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench_datasets.world.artwork import Concept
from rppbench_datasets.world.render import Floats, place, to_image

MIN_VISIBLE = 40
"""A thing with fewer visible pixels is left out of the labels."""


@dataclass(frozen=True)
class Scene:
    """An image and its n visible things, from back to front."""

    image: Image.Image
    masks: NDArray[np.bool_]
    """(n, size, size) visible pixels of each thing; they do not overlap."""
    boxes: NDArray[np.int64]
    """(n, 4) left, top, right, bottom of the visible pixels; right and bottom are exclusive."""
    labels: tuple[int, ...]
    """(n,) positions in the list of classes from which the scene was composed."""


def compose(
    rng: np.random.Generator,
    canvas: Floats,
    classes: Sequence[Concept],
    pool: str,
    widths: tuple[float, float],
) -> Scene:
    """A scene of one to five random things on a square canvas (size, size, 3).

    The things are of `classes`, in drawings of one `pool`; labels are positions in `classes`.
    `widths` bounds the longer side of a drawing in pixels.
    """
    size = len(canvas)
    labels: list[int] = []
    covers: list[NDArray[np.bool_]] = []
    for _ in range(rng.integers(1, 6)):
        label = int(rng.integers(len(classes)))
        drawings = classes[label].pool(pool)
        drawing = drawings[rng.integers(len(drawings))]
        width = rng.uniform(*widths)
        centre = rng.uniform(width / 2, size - width / 2, 2)
        cover = place(canvas, drawing, rng, width, (centre[0], centre[1])) > 0.5
        covers = [below & ~cover for below in covers]
        covers.append(cover)
        labels.append(label)
    visible = [at for at, mask in enumerate(covers) if mask.sum() >= MIN_VISIBLE]
    masks = np.stack([covers[at] for at in visible])
    boxes = np.array([box(mask) for mask in masks], np.int64)
    return Scene(to_image(canvas), masks, boxes, tuple(labels[at] for at in visible))


def box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a mask; right and bottom are exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
