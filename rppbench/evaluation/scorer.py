"""Scores of prompts on a list of images: of the test split, or those they were learned on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.evaluation import Evaluation
from rppbench.contracts.prompts import Prompts
from rppbench.data.contents import DataContents
from rppbench.data.groups import groups_of
from rppbench.data.images import Images, Notify
from rppbench.evaluation.classify import Head, similarities
from rppbench.features.image_features import encode_images, frozen_image_features
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip

LEARNED_IMAGES = 1000
"""Number of training images on which the loss of the learned prompts is measured."""


@dataclass(frozen=True)
class Scorer:
    """Classifies images with one model; frozen towers run only once for each image."""

    clip: Clip
    features: FeatureStore
    batch_size: int
    """Images per forward pass."""
    workers: int
    notify: Notify
    contents: DataContents = field(default_factory=DataContents)

    @torch.inference_mode()
    def __call__(
        self,
        prompts: Prompts,
        dataset: Dataset,
        samples: Sequence[Sample],
        classes: Sequence[int],
        parts: Sequence[Sequence[int]],
        head: Head,
    ) -> list[Evaluation]:
        """One evaluation for each part of `classes`: its samples, classified among its classes.

        Samples are labelled by position in `classes`, and parts are lists of such positions;
        labels in an evaluation are positions in its part. Images and names are encoded once.
        """
        images = Images(
            dataset, samples, self.clip.preprocess, workers=self.workers, contents=self.contents
        )
        cosines = similarities(
            self.clip,
            prompts,
            [dataset.classes[label] for label in classes],
            self._features(images, prompts),
            wording=dataset.template,
            head=head,
            notify=self.notify,
            store=self.features,
        )
        labels = torch.tensor([sample.label for sample in samples])
        tallies = [_Tally(torch.tensor(part), len(classes)) for part in parts]
        done = 0
        for group in cosines:
            logits = (self.clip.scale * group).cpu()
            for tally in tallies:
                tally.add(logits, labels[done : done + len(group)])
            done += len(group)
        groups = groups_of(dataset, samples)
        return [
            replace(
                tally.evaluation(),
                groups=tuple(compress(groups, (tally.position[labels] >= 0).tolist())),
                unit=dataset.unit,
                group_space=dataset.group_space,
            )
            for tally in tallies
        ]

    def _features(self, images: Images, prompts: Prompts) -> Tensor:
        """(b, e) image features: from the store if the image tower is frozen, else computed."""
        clip, size = self.clip, self.batch_size
        if prompts.image is None:

            def compute(picks: Sequence[int]) -> Iterator[Tensor]:
                return encode_images(clip, images, size, self.notify, picks=picks)

            return frozen_image_features(
                self.features, clip, images, compute, unit=prompts.unit_images
            )
        total, done, parts = len(images), 0, []
        for batch in images.in_order(size):
            features = clip.image.encode(
                batch.to(clip.device), prompts.image, unit=prompts.unit_images
            )
            parts.append(features.cpu())
            done += len(batch)
            self.notify("evaluate", done, total, {})
        return torch.cat(parts)


class _Tally:
    """Results of the images of one part of the classes."""

    def __init__(self, part: Tensor, total: int) -> None:
        self.part = part
        self.position = torch.full((total,), -1).scatter(0, part, torch.arange(len(part)))
        self.labels: list[Tensor] = []
        self.ranked: list[Tensor] = []
        self.confidence: list[Tensor] = []
        self.losses: list[Tensor] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add the images of this part, from logits (b, c) with labels (b,)."""
        own = self.position[labels]
        logits, own = logits[own >= 0][:, self.part], own[own >= 0]
        self.labels.append(own)
        self.ranked.append(logits.topk(min(5, len(self.part))).indices)
        self.confidence.append(logits.softmax(-1).amax(-1))
        self.losses.append(F.cross_entropy(logits, own, reduction="none"))

    def evaluation(self) -> Evaluation:
        return Evaluation(
            torch.cat(self.labels),
            torch.cat(self.ranked),
            len(self.part),
            torch.cat(self.confidence),
            torch.cat(self.losses),
        )
