"""Two stages: class-agnostic masks are proposed, then each is classified.

Xu et al., A Simple Baseline for Open-Vocabulary Semantic Segmentation with Pre-trained
Vision-Language Model, ECCV 2022 (MendelXu/zsseg.baseline): each mask is cut out to its box with the
rest painted over, is classified, and votes for its pixels with the probability of every class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts import Bench
from rppbench_tasks.proposing.masks import MaskSource, Part, packed, parts_of, unpacked
from rppbench_tasks.segmenting.label_maps import label_map


class TwoStageHead:
    """Labels an image by classifying its proposals."""

    def __init__(
        self, bench: Bench, proposals: MaskSource, weight: float, unseen: Sequence[int]
    ) -> None:
        """`weight` in 0..1 is that of ZSSeg's ensemble; below 0 there is no ensemble."""
        self.regions, self.proposals, self.weight = bench.regions, proposals, weight
        self.names = list(bench.dataset.classes)
        self.unseen = torch.zeros(len(self.names), dtype=torch.bool)
        # Where no class is marked as unseen, all are treated as unseen, as published.
        self.unseen[list(unseen) if unseen else slice(None)] = True

    def __call__(self, image: Image.Image, key: str, size: tuple[int, int]) -> NDArray[np.uint16]:
        """(h, w) labels of `size`; `IGNORED` where there is no mask."""
        masks_key = {"sample": key, "size": image.size, "version": 2}
        masks_key["masks"] = self.proposals.identity(key)
        arrays = self.regions.cache.arrays(
            masks_key, lambda: packed(parts_of(self.proposals(image, key, size)))
        )
        parts = unpacked(arrays)
        probabilities = self.probabilities(image, masks_key, parts)  # (q, c)
        grid = (image.height, image.width)

        def scores(top: int, bottom: int) -> Tensor:
            total = torch.zeros(len(self.names), bottom - top, grid[1])
            for part, row in zip(parts, probabilities, strict=True):
                low, high = max(part.rows.start, top), min(part.rows.stop, bottom)
                if low < high:
                    votes = torch.from_numpy(part.mask[low - part.top : high - part.top])
                    total[:, low - top : high - top, part.columns] += row[:, None, None] * votes
            return total

        return label_map(scores, grid, size, len(self.names))

    def probabilities(
        self, image: Image.Image, masks_key: Mapping[str, object], parts: Sequence[Part]
    ) -> Tensor:
        """(q, c) class probabilities of the q masks, whose features are cached by `masks_key`."""
        if not parts:
            return torch.zeros(0, len(self.names))
        encoder, classifier = self.regions.encoder, self.regions.classifier

        def features(prompted: bool) -> Tensor:
            crops = (cut_out(image, part, encoder.mean_colour) for part in parts)
            return self.regions.cache.features(
                masks_key,
                len(parts),
                lambda: encoder.encode(crops, prompted=prompted),
                prompted=prompted,
            )

        own = self._softmax(classifier.similarities(features(True), self.names))
        if self.weight < 0:
            return own
        zeroshot = classifier.similarities(features(False), self.names, prompted=False)
        return ensemble(self._softmax(zeroshot), own, self.unseen, self.weight)

    def _softmax(self, cosines: Tensor) -> Tensor:
        return (self.regions.classifier.scale * cosines).softmax(-1)


def ensemble(queries: Tensor, regions: Tensor, unseen: Tensor, weight: float) -> Tensor:
    """Weighted geometric mean (q, c) of the probabilities of two classifiers.

    The first has `weight` for seen classes, the second for those marked in `unseen` (c,).
    """
    seen = queries**weight * regions ** (1 - weight)
    return torch.where(unseen, queries ** (1 - weight) * regions**weight, seen)


def cut_out(image: Image.Image, part: Part, fill: tuple[int, int, int]) -> Image.Image:
    """A square image of a mask's box, in which everything outside the mask has one colour."""
    box = (part.columns.start, part.rows.start, part.columns.stop, part.rows.stop)
    pixels = np.array(image.crop(box))
    pixels[~part.mask] = fill
    side = max(pixels.shape[:2])
    # A square, or the centre crop of the tower's preprocessing would cut long objects.
    square = np.full((side, side, 3), fill, np.uint8)
    y, x = (side - pixels.shape[0]) // 2, (side - pixels.shape[1]) // 2
    square[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return Image.fromarray(square)
