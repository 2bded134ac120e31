"""Two stages: class-agnostic masks are proposed, then each is classified.

Xu et al., A Simple Baseline for Open-Vocabulary Semantic Segmentation with Pre-trained
Vision-Language Model, ECCV 2022 (MendelXu/zsseg.baseline): each mask is cut out to its box with the
rest painted over, is classified, and votes for its pixels with the probability of every class.

Shapes: q masks, c classes, h and w of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts import Bench
from rppbench_tasks.proposing.masks import (
    MOST,
    MaskSource,
    Part,
    SoftMaskSource,
    packed,
    part_of,
    parts_of,
    unpacked,
)
from rppbench_tasks.segmenting.crops import cut_out, stretched
from rppbench_tasks.segmenting.label_maps import enlarged, label_map
from rppbench_tasks.segmenting.words import Words, similarities

Geometry = Literal["square", "stretch"]
Votes = Literal["hard", "soft"]

Scores = Callable[[int, int], Tensor]
"""(top, bottom) -> (c, bottom - top, w) votes for these rows of the image."""


class Settings(NamedTuple):
    """How masks become crops and votes; each field is the task's option of the same name."""

    weight: float = -1.0
    geometry: Geometry = "square"
    votes: Votes = "hard"
    threshold: float = 0.5


class TwoStageHead:
    """Labels an image by classifying its proposals."""

    def __init__(
        self,
        bench: Bench,
        proposals: MaskSource,
        settings: Settings,
        words: Words,
        unseen: Sequence[int],
    ) -> None:
        self.regions, self.proposals, self.settings = bench.regions, proposals, settings
        self.words = words
        self.unseen = torch.zeros(len(words), dtype=torch.bool)
        # Where no class is marked as unseen, all are treated as unseen, as published.
        self.unseen[list(unseen) if unseen else slice(None)] = True

    def __call__(self, image: Image.Image, key: str, size: tuple[int, int]) -> NDArray[np.uint16]:
        """(h, w) labels of `size`; `IGNORED` where there is no mask."""
        masks_key = {
            "sample": key,
            "size": image.size,
            "masks": self.proposals.identity(key),
            "version": 3,
        }
        if self.settings.votes == "soft" and isinstance(self.proposals, SoftMaskSource):
            scores = self._soft(self.proposals, image, masks_key)
        else:
            scores = self._hard(image, masks_key, size)
        return label_map(scores, (image.height, image.width), size, len(self.words))

    def _hard(
        self, image: Image.Image, masks_key: Mapping[str, object], size: tuple[int, int]
    ) -> Scores:
        """Each mask votes for its own pixels alone."""
        key = str(masks_key["sample"])
        arrays = self.regions.cache.arrays(
            masks_key, lambda: packed(parts_of(self.proposals(image, key, size)))
        )
        parts = unpacked(arrays)
        probabilities = self.probabilities(image, masks_key, parts, torch.ones(len(parts)))

        def scores(top: int, bottom: int) -> Tensor:
            total = torch.zeros(len(self.words), bottom - top, image.width)
            for part, row in zip(parts, probabilities, strict=True):
                low, high = max(part.rows.start, top), min(part.rows.stop, bottom)
                if low < high:
                    votes = torch.from_numpy(part.mask[low - part.top : high - part.top])
                    total[:, low - top : high - top, part.columns] += row[:, None, None] * votes
            return total

        return scores

    def _soft(
        self, source: SoftMaskSource, image: Image.Image, masks_key: Mapping[str, object]
    ) -> Scores:
        """Each mask votes for every pixel with its share of it, and is as sure as its query.

        A mask whose share is nowhere above the threshold has no crop to classify, and no vote. In
        ZSSeg with an ensemble it votes by the first classifier alone, which is the segmenter's own
        and needs no crop; here both classify crops.
        """
        size = (image.height, image.width)
        parts, kept, sure = [], [], []
        for logits, confidence in list(source.soft(image))[:MOST]:
            mask = enlarged(logits, size).sigmoid() > self.settings.threshold
            if (part := part_of(mask.numpy())) is not None:
                parts.append(part)
                kept.append(logits)
                sure.append(confidence)
        key = {**masks_key, "votes": "soft", "threshold": self.settings.threshold}
        probabilities = self.probabilities(image, key, parts, torch.tensor(sure))
        if not parts:
            return lambda top, bottom: torch.zeros(len(self.words), bottom - top, image.width)
        logits = torch.stack(kept)

        def scores(top: int, bottom: int) -> Tensor:
            shares = enlarged(logits, size, top, bottom).sigmoid()
            return torch.einsum("qc,qhw->chw", probabilities, shares)

        return scores

    def probabilities(
        self,
        image: Image.Image,
        masks_key: Mapping[str, object],
        parts: Sequence[Part],
        confidence: Tensor,
    ) -> Tensor:
        """(q, c) class probabilities of the q masks, whose features are cached.

        `confidence` (q,) scales those of the ensemble's first classifier.
        """
        if not parts:
            return torch.zeros(0, len(self.words))
        classifier = self.regions.classifier
        crops_key = {**masks_key, "geometry": self.settings.geometry}

        def features(prompted: bool) -> Tensor:
            return self.regions.cache.features(
                crops_key,
                len(parts),
                lambda: self._encoded(image, parts, prompted),
                prompted=prompted,
            )

        own = self._softmax(similarities(classifier, features(True), self.words))
        if self.settings.weight <= 0:
            return own
        cosines = similarities(classifier, features(False), self.words, prompted=False)
        first = confidence[:, None] * self._softmax(cosines)
        return ensemble(first, own, self.unseen, self.settings.weight)

    def _encoded(self, image: Image.Image, parts: Sequence[Part], prompted: bool) -> Tensor:
        """(q, e) features of the masks' crops."""
        encoder = self.regions.encoder
        if self.settings.geometry == "stretch":
            crops = (stretched(image, part, encoder) for part in parts)
            return encoder.encode(crops, prompted=prompted)
        squares = (cut_out(image, part, encoder.mean_colour) for part in parts)
        return encoder.encode(squares, prompted=prompted)

    def _softmax(self, cosines: Tensor) -> Tensor:
        return (self.regions.classifier.scale * cosines).softmax(-1)


def ensemble(first: Tensor, second: Tensor, unseen: Tensor, weight: float) -> Tensor:
    """Weighted geometric mean (q, c) of the probabilities of two classifiers.

    The first has `weight` for seen classes, the second for those marked in `unseen` (c,).
    """
    seen = first**weight * second ** (1 - weight)
    return torch.where(unseen, first ** (1 - weight) * second**weight, seen)
