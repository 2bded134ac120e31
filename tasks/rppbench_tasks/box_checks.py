"""Checks of boxes from a file: whether they are x, y, width, height in pixels of their images.

Boxes in another form are valid numbers, so without these checks they would score 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rppbench.contracts import DetectionSet
from rppbench.errors import UsageError

SLACK = 0.05
"""Part of an image's side by which a box may reach beyond an edge; at least `SLACK_PIXELS`."""
SLACK_PIXELS = 2.0
NORMALISED = 2.0
"""Boxes whose numbers all stay below this are parts of an image, not pixels."""
EXPECTED = "'bbox' is x, y, width, height in pixels of the image, from its top left corner"


def check_boxes(
    boxes: NDArray[np.float64],
    shapes: NDArray[np.int64],
    where: str,
    warn: Callable[[str], None],
) -> None:
    """Check boxes (n, 4) by the shapes (n, 2: height, width) of their images.

    UsageError if they are normalised, look like corners, or if most leave their images; `warn` gets
    a line for fewer boxes that leave theirs, and for empty ones.
    """
    if not len(boxes):
        return
    if boxes.max() < NORMALISED:
        raise UsageError(
            f"{where}: no number of a box is above {boxes.max():g}, as if boxes were parts of the "
            f"image; {EXPECTED}"
        )
    sides = shapes[:, ::-1].astype(float)  # (n, 2) width, height
    slack = np.maximum(SLACK * sides, SLACK_PIXELS)
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    outside = ((low < -slack) | (high > sides + slack)).any(1)
    count, total = int(outside.sum()), len(boxes)
    if count:
        first = int(outside.argmax())
        width, height = sides[first]
        example = (
            f"the first is entry {first + 1}, {_text(boxes[first])} in an image of "
            f"{width:g} x {height:g} pixels"
        )
        corners = (boxes[:, 2:] >= boxes[:, :2]) & (boxes[:, 2:] <= sides + slack)
        if corners.all(1).mean() > 0.95 and count > 0.01 * total:
            raise UsageError(
                f"{where}: {count:,} of {total:,} boxes leave their image, but would lie in it as "
                f"x1, y1, x2, y2; {EXPECTED}; {example}"
            )
        if count > 0.5 * total:
            raise UsageError(
                f"{where}: {count:,} of {total:,} boxes leave their image; are they of a resized "
                f"copy? {EXPECTED}; {example}"
            )
        warn(f"{count:,} of {total:,} boxes leave their image: {example}")
    empty = (boxes[:, 2:] == 0).any(1)
    if empty.any():
        warn(
            f"{int(empty.sum()):,} of {total:,} boxes have no area: "
            f"the first is entry {int(empty.argmax()) + 1}"
        )


def check_scores(scores: NDArray[np.float64], warn: Callable[[str], None]) -> None:
    """Warn of scores (n,) that are all equal, or not in 0..1; only their order counts."""
    if len(scores) > 1 and (scores == scores[0]).all():
        warn(f"all {len(scores):,} scores are {scores[0]:g}: the order of the file decides")
    outside = (scores < 0) | (scores > 1)
    if outside.any():
        first = int(outside.argmax())
        warn(
            f"{int(outside.sum()):,} of {len(scores):,} scores are not in 0..1: the first is "
            f"{scores[first]:g}, entry {first + 1}; only the order of scores counts"
        )


def shapes_of(data: DetectionSet, owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 2) height and width of the test images at the positions `owners` (n,)."""
    samples = data.samples("test")
    listed, places = np.unique(owners, return_inverse=True)
    shapes = [data.shape(samples[at]) for at in listed.tolist()]
    return np.array(shapes, np.int64).reshape(-1, 2)[places]


def _text(box: NDArray[np.float64]) -> str:
    return f"[{', '.join(f'{number:g}' for number in box)}]"
