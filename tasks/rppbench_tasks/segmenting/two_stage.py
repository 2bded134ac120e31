"""Two stages: masks of anything, then the class of what each one shows.

Xu et al., A Simple Baseline for Open-Vocabulary Semantic Segmentation with Pre-trained
Vision-Language Model, ECCV 2022 (MendelXu/zsseg.baseline): each mask is cut out to its box with the
rest painted over, classified, and votes for its pixels with the probability of every class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts import Bench
from rppbench_tasks.segmenting.label_maps import label_map
from rppbench_tasks.segmenting.proposals import Mask, Proposals


class TwoStageHead:
    """Proposals of one image after the other, classified by the method."""

    def __init__(
        self, bench: Bench, proposals: Proposals, weight: float, unseen: Sequence[int]
    ) -> None:
        """`weight` in 0..1 is that of ZSSeg's ensemble; below 0 the method is alone."""
        self.bench, self.proposals, self.weight = bench, proposals, weight
        self.names = list(bench.dataset.classes)
        self.unseen = torch.zeros(len(self.names), dtype=torch.bool)
        # Where no class is marked as unseen, all are treated as if they were, as published.
        self.unseen[list(unseen) if unseen else slice(None)] = True

    def __call__(self, image: Image.Image, key: str, size: tuple[int, int]) -> NDArray[np.uint16]:
        """(h, w) labels of `size`; `IGNORED` where there is no mask."""
        found = [mask for mask in self.proposals(image, key, size) if mask.any()]
        width, height = image.size
        shares = self.shares(image, key, found)  # (q, c)
        masks = np.stack(found) if found else np.zeros((0, height, width), bool)

        def scores(top: int, bottom: int) -> Tensor:
            votes = torch.from_numpy(masks[:, top:bottom].astype(np.float32))
            return torch.einsum("qc,qhw->chw", shares, votes)

        return label_map(scores, (height, width), size, len(self.names))

    def shares(self, image: Image.Image, key: str, masks: Sequence[Mask]) -> Tensor:
        """(q, c) probabilities of the classes."""
        if not masks:
            return torch.zeros(0, len(self.names))

        def encoded(prompted: bool = True) -> Tensor:
            crops = [cut_out(image, mask, self.bench.fill) for mask in masks]
            return self.bench.encode(crops, prompted=prompted)

        features = self.bench.remembered(
            {
                "masks": self.proposals.identity(key),
                "sample": key,
                "size": image.size,
                "version": 1,
            },
            len(masks),
            encoded,
        )
        own = self._softmax(self.bench.similarities(features, self.names))
        if self.weight < 0:
            return own
        if not self.bench.frozen_images:
            features = encoded(prompted=False)
        frozen = self._softmax(self.bench.similarities(features, self.names, prompted=False))
        return ensemble(frozen, own, self.unseen, self.weight)

    def _softmax(self, cosines: Tensor) -> Tensor:
        return (self.bench.scale * cosines).softmax(-1)


def ensemble(queries: Tensor, regions: Tensor, unseen: Tensor, weight: float) -> Tensor:
    """(q, c) of two classifiers: the first has `weight` for seen classes, the second for unseen."""
    seen = queries**weight * regions ** (1 - weight)
    return torch.where(unseen, queries ** (1 - weight) * regions**weight, seen)


def cut_out(image: Image.Image, mask: Mask, fill: tuple[int, int, int]) -> Image.Image:
    """The square around a mask's box, with everything outside the mask in one colour."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    pixels = np.asarray(image)[top:bottom, left:right].copy()
    pixels[~mask[top:bottom, left:right]] = fill
    side = max(pixels.shape[:2])
    # A square, or the centre crop of the tower's preprocessing would cut long things.
    square = np.full((side, side, 3), fill, np.uint8)
    y, x = (side - pixels.shape[0]) // 2, (side - pixels.shape[1]) // 2
    square[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return Image.fromarray(square)
