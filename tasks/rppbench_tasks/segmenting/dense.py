"""Dense CLIP: the features of patches against the class names, nothing learned.

Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022. Windows of the size that the tower
was trained on slide by half of it; where they overlap, features are averaged.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts import Bench
from rppbench_tasks.segmenting.label_maps import label_map


class DenseHead:
    """Patches of one image after the other."""

    def __init__(self, bench: Bench, windows: bool) -> None:
        self.bench, self.windows = bench, windows
        self.names = list(bench.dataset.classes)

    def __call__(self, image: Image.Image, key: str, size: tuple[int, int]) -> NDArray[np.uint16]:
        """(h, w) labels of `size` of an image; `key` names it."""
        side, patch = self.bench.sides
        least = side if self.windows else patch
        columns, rows = (max(round(length / patch), least // patch) for length in image.size)
        fitted = image.resize((columns * patch, rows * patch), Image.Resampling.BICUBIC)
        what = "windows" if self.windows else "whole"
        flat = self.bench.remembered(
            {"patches": what, "sample": key, "grid": (rows, columns), "version": 1},
            rows * columns,
            lambda: self.features(fitted, rows, columns).flatten(0, 1),
        )
        logits = self.bench.scale * self.bench.similarities(flat, self.names)
        shares = logits.softmax(-1).T.unflatten(1, (rows, columns))  # (c, rows, columns)
        return label_map(lambda a, b: shares[:, a:b], (rows, columns), size, len(self.names))

    def features(self, image: Image.Image, rows: int, columns: int) -> Tensor:
        """Unit features (rows, columns, e) of an image whose sides are whole patches."""
        side, patch = self.bench.sides
        if not self.windows:
            return self.bench.patches([image])[0]
        span = side // patch
        places = [(top, left) for top in _starts(rows, span) for left in _starts(columns, span)]
        total, part = torch.zeros(0), 32  # windows are cut when they are encoded, for huge images
        for start in range(0, len(places), part):
            some = places[start : start + part]
            crops = [
                image.crop((x * patch, y * patch, x * patch + side, y * patch + side))
                for y, x in some
            ]
            for (y, x), found in zip(some, self.bench.patches(crops), strict=True):
                if not len(total):
                    total = torch.zeros(rows, columns, found.shape[-1])
                total[y : y + span, x : x + span] += found
        return torch.nn.functional.normalize(total, dim=-1)


def _starts(length: int, span: int) -> list[int]:
    """Where windows of `span` patches begin, half a window apart, the last at the very end."""
    return sorted({*range(0, length - span + 1, max(1, span // 2)), length - span})
