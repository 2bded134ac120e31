"""From scores on a small grid to a label for every pixel, a strip of rows at a time.

Scores of all classes at full size would be gigabytes for a large image; those of a strip are not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rppbench.contracts import IGNORED

STRIP_BYTES = 32 * 1024**2
"""Size of the float32 scores that are held at once, approximately."""


def label_map(
    scores: Callable[[int, int], Tensor], grid: tuple[int, int], size: tuple[int, int], classes: int
) -> NDArray[np.uint16]:
    """(h, w) of `size`: the best class of bilinearly enlarged scores, `IGNORED` where all are 0.

    `scores(top, bottom)` gives (c, bottom - top, columns) of rows of the grid (rows, columns).
    """
    (rows, _), (height, width) = grid, size
    low, high, row_weight = _between(rows, height)
    left, right, column_weight = _between(grid[1], width)
    labels = np.empty(size, np.uint16)
    step = max(1, STRIP_BYTES // (4 * classes * width))
    for top in range(0, height, step):
        bottom = min(top + step, height)
        first, last = int(low[top]), int(high[bottom - 1]) + 1
        small = scores(first, last)
        if grid == size:  # nothing to interpolate
            labels[top:bottom] = _best(small[:, : bottom - top])
            continue
        tall = torch.lerp(
            small[:, low[top:bottom] - first],
            small[:, high[top:bottom] - first],
            row_weight[top:bottom, None],
        )
        labels[top:bottom] = _best(torch.lerp(tall[:, :, left], tall[:, :, right], column_weight))
    return labels


def enlarged(scores: Tensor, size: tuple[int, int], top: int = 0, bottom: int = 0) -> Tensor:
    """Rows `top` to `bottom` (0: the last) of (..., h, w) scores, enlarged bilinearly to `size`."""
    height, width = size
    low, high, row_weight = _between(scores.shape[-2], height)
    left, right, column_weight = _between(scores.shape[-1], width)
    rows = slice(top, bottom or height)
    weight = row_weight[rows, None]
    tall = torch.lerp(scores[..., low[rows], :], scores[..., high[rows], :], weight)
    return torch.lerp(tall[..., left], tall[..., right], column_weight)


def _best(scores: Tensor) -> NDArray[np.uint16]:
    """(h, w) best classes of (c, h, w)."""
    values, indices = scores.max(0)
    labels = indices.numpy().astype(np.uint16)
    labels[(values == 0).numpy()] = IGNORED
    return labels


def _between(short: int, long: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `long` positions: the two of `short` around it, and the weight of the second."""
    at = ((torch.arange(long) + 0.5) * (short / long) - 0.5).clamp(0, short - 1)
    low = at.floor().long()
    return low, (low + 1).clamp(max=short - 1), at - low
