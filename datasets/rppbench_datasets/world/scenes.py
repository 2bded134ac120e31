"""Scenes with several things on them: the material of segmentation and detection tasks.

Up to five drawings of everyday things on a background, later ones on top. Test scenes are made of
test-pool drawings, training scenes of train-pool ones. The thirty classes here are those that the
shipped backbones were scored on; `rppbench_datasets.scenes` is the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench_datasets.world.artwork import COLOURED, Concept, concepts
from rppbench_datasets.world.render import Floats, finished, place, stream, texture

SEEN = (
    *("cat", "dog", "horse", "fish", "banana", "red apple", "pizza", "hot beverage", "cactus"),
    *("sunflower", "automobile", "bicycle", "sailboat", "airplane", "house", "umbrella", "key"),
    *("guitar", "books", "soccer ball"),
)
"""Classes that a task may learn on."""

UNSEEN = (
    *("cow", "duck", "strawberry", "cupcake", "bus", "tent", "scissors", "violin"),
    *("camera", "rugby football"),
)
"""Classes that only the test may ask for."""

CLASSES = SEEN + UNSEEN

SMALLEST, LARGEST = 36, 80
"""Pixels of a drawing's longer side."""

LEAST = 40
"""Visible pixels below which a covered thing is left out of the labels."""


@dataclass(frozen=True)
class Scene:
    """An image and what is visible on it, n things from back to front."""

    image: Image.Image
    masks: NDArray[np.bool_]
    """(n, size, size) visible pixels of each thing; they do not overlap."""
    boxes: NDArray[np.int64]
    """(n, 4) left, top, right, bottom of the visible pixels; right and bottom are exclusive."""
    labels: tuple[int, ...]
    """(n,) positions in the classes that were admitted."""


@cache
def _classes() -> tuple[Concept, ...]:
    by_name = {concept.name: concept for concept in concepts()}
    return tuple(by_name[name] for name in CLASSES)


def scene(index: int, split: str, size: int = 144, unseen: bool = True) -> Scene:
    """The scene of that number; a split is 'train' or 'test', `unseen` admits UNSEEN things."""
    draw = stream(f"scene/{split}/{index}/{size}/{unseen}")
    admitted = _classes() if unseen else _classes()[: len(SEEN)]
    return compose(draw, texture(draw, size), admitted, split, (SMALLEST, LARGEST))


def compose(
    draw: np.random.Generator,
    canvas: Floats,
    classes: Sequence[Concept],
    pool: str,
    widths: tuple[float, float],
) -> Scene:
    """One to five things of any of the classes on a square canvas, in drawings of one pool.

    `widths` bounds the longer side of a drawing in pixels. Labels are positions in `classes`.
    """
    size = len(canvas)
    labels: list[int] = []
    covers: list[NDArray[np.bool_]] = []
    for _ in range(draw.integers(1, 6)):
        label = int(draw.integers(len(classes)))
        drawings = [d for d in classes[label].pool(pool) if d.vendor in COLOURED]
        drawing = drawings[draw.integers(len(drawings))]
        width = draw.uniform(*widths)
        centre = draw.uniform(width / 2, size - width / 2, 2)
        cover = place(canvas, drawing, draw, width, (centre[0], centre[1])) > 0.5
        covers = [below & ~cover for below in covers]
        covers.append(cover)
        labels.append(label)
    kept = [at for at, mask in enumerate(covers) if mask.sum() >= LEAST]
    masks = np.stack([covers[at] for at in kept])
    boxes = np.array([_box(mask) for mask in masks], np.int64)
    return Scene(finished(canvas), masks, boxes, tuple(labels[at] for at in kept))


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
