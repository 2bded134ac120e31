"""Dense CLIP: features of patches are compared with class names; the head learns nothing.

Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022. Windows of the tower's training
size slide by half a window; where they overlap, features are averaged.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts import Bench
from rppbench_tasks.segmenting.label_maps import label_map
from rppbench_tasks.segmenting.words import Words, similarities

Enlarge = Literal["probabilities", "cosines"]
"""What is enlarged from patches to pixels; MaskCLIP enlarges the cosines."""


class DenseHead:
    """Labels an image by classifying its patches."""

    def __init__(self, bench: Bench, words: Words, windows: bool, enlarge: Enlarge) -> None:
        """`windows` slides windows of the tower's size; otherwise the entire image is one."""
        self.regions, self.words = bench.regions, words
        self.windows, self.enlarge = windows, enlarge

    def __call__(self, image: Image.Image, key: str, size: tuple[int, int]) -> NDArray[np.uint16]:
        """Labels of an image with this `key`, at `size` (h, w)."""
        encoder, classifier = self.regions.encoder, self.regions.classifier
        side, patch = encoder.image_size, encoder.patch_size
        least = side if self.windows else patch
        columns, rows = (max(round(length / patch), least // patch) for length in image.size)
        fitted = image.resize((columns * patch, rows * patch), Image.Resampling.BICUBIC)
        view = "windows" if self.windows else "whole"
        features = self.regions.cache.features(
            {"patches": view, "sample": key, "grid": (rows, columns), "version": 1},
            rows * columns,
            lambda: self.features(fitted, rows, columns).flatten(0, 1),
        )
        scores = similarities(classifier, features, self.words)  # (patches, c)
        if self.enlarge == "probabilities":
            scores = (classifier.scale * scores).softmax(-1)
        grid = scores.T.unflatten(1, (rows, columns))  # (c, rows, columns)
        return label_map(
            lambda top, bottom: grid[:, top:bottom], (rows, columns), size, len(self.words)
        )

    def features(self, image: Image.Image, rows: int, columns: int) -> Tensor:
        """Features (rows, columns, e) of an image whose sides are multiples of a patch's."""
        encoder = self.regions.encoder
        if not self.windows:
            return encoder.patches([image])[0]
        side, patch = encoder.image_size, encoder.patch_size
        span = side // patch
        corners = [(top, left) for top in _starts(rows, span) for left in _starts(columns, span)]
        total, counts = torch.zeros(0), torch.zeros(rows, columns, 1)
        batch_size = 32  # windows of huge images are not all cut out at once
        for start in range(0, len(corners), batch_size):
            batch = corners[start : start + batch_size]
            crops = [
                image.crop((x * patch, y * patch, x * patch + side, y * patch + side))
                for y, x in batch
            ]
            for (y, x), window in zip(batch, encoder.patches(crops), strict=True):
                if not len(total):
                    total = torch.zeros(rows, columns, window.shape[-1])
                total[y : y + span, x : x + span] += window
                counts[y : y + span, x : x + span] += 1
        return torch.nn.functional.normalize(total, dim=-1) if encoder.unit else total / counts


def _starts(length: int, span: int) -> list[int]:
    """First patches of windows of `span` patches, half a window apart; the last is at the end."""
    return sorted({*range(0, length - span + 1, max(1, span // 2)), length - span})
