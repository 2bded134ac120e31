"""The data side of a training: its images and classes, and the batches of its steps.

Shapes: b images of a step (all views), n training images, c classes, k candidates, e embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor

from rppbench.contracts.dataset import Dataset
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import ClassAware, Templates
from rppbench.data.draws import LONG_TAIL, learned_shots, training_images
from rppbench.data.few_shot import draw_digest, few_images
from rppbench.data.images import Images, View
from rppbench.data.splits import of_classes, training_classes
from rppbench.evaluation.checked import checked_prompts
from rppbench.evaluation.classify import template_encoder
from rppbench.evaluation.scorer import Scorer
from rppbench.features.image_features import encode_images, frozen_image_features
from rppbench.features.text_features import template_features
from rppbench.models.class_names import Names
from rppbench.models.clip import Clip
from rppbench.random_streams import torch_stream
from rppbench.records.cell import Training
from rppbench.training.distributed import ALONE, Group

ENCODED = 256
"""Number of images that a frozen tower encodes at once."""


@dataclass(frozen=True)
class Batch:
    """The images of a step's shard: all in their first view, then in the next, and so on."""

    picks: Tensor
    """(b,) positions in the training list."""
    images: Tensor
    """(share of b, 3, height, width), or features (b, e) where the image tower is frozen."""
    teacher_images: Tensor | None
    """(b, e) the teacher's features; None without a teacher."""
    frozen_images: Tensor | None
    """(b, e) the frozen image tower's features, if the method's loss needs them."""


class StepInputs:
    """The images drawn for a training, the features that never change, and its random draws."""

    def __init__(
        self,
        training: Training,
        method: Method,
        clip: Clip,
        teacher: Clip | None,
        dataset: Dataset,
        scorer: Scorer,
        group: Group = ALONE,
    ) -> None:
        self.training, self.method, self.dataset = training, method, dataset
        self.clip, self.teacher, self.group = clip, teacher, group
        self.features, self.notify = scorer.features, scorer.notify
        self.contents = scorer.contents
        recipe = dict(training.recipe.options)
        self.classes = training_classes(dataset, training.classes)
        drawn = training_images(dataset, training)
        self.draw = draw_digest(drawn)
        samples = of_classes(drawn, self.classes)  # after the draw, as CoOp does
        self.labels = torch.tensor([sample.label for sample in samples])
        names = [dataset.classes[label] for label in self.classes]
        shots = learned_shots(training)
        self.few_images = ""
        if not training.draw.startswith(LONG_TAIL):  # there most classes have fewer, by intention
            self.few_images = few_images([sample.label for sample in samples], names, shots)
        prompts = checked_prompts(method, clip)
        self._names, self._wording = names, prompts.wording(dataset.template)
        augment = str(recipe["augment"])
        reading = augment, scorer.workers, scorer.contents
        self.images = Images(dataset, samples, clip.preprocess, *reading)
        self.template_texts: Tensor | None = None
        """(c, e) features of fixed wordings; None if the text is learned. They have unit length
        unless `Templates.unit` is off."""
        self.crafted_texts: Tensor | None = None
        """(c, e) features that `ClassAware` text depends on."""
        if isinstance(text := prompts.text, ClassAware):
            wordings = text.wordings or (dataset.template,)
            self.crafted_texts = template_features(self.features, clip, names, wordings)
        if isinstance(text, Templates):
            wordings = text.wordings or (dataset.template,)
            encoder = template_encoder(text, clip, teacher)
            self.template_texts = template_features(
                self.features, encoder, names, wordings, unit=text.unit
            )
        if teacher is not None:
            self.teacher_pixels = Images(dataset, samples, teacher.preprocess, *reading)
            self.teacher_texts = template_features(
                self.features, teacher, names, (dataset.template,)
            )
        self.frozen_texts: Tensor | None = None
        """(c, e) frozen features that the method's loss compares with, if it does."""
        if (frozen := method.frozen) is not None:
            wordings = frozen.wordings or (dataset.template,)
            self.frozen_texts = template_features(self.features, clip, names, wordings, frozen.raw)
        self.shards = max(1, min(int(recipe.get("shards", 1)), len(samples)))
        self.batch = min(int(recipe["batch"]), len(samples) // self.shards)
        self.views = int(recipe["views"])
        # Dassl drops an incomplete last batch.
        self.epoch_steps = len(samples) // (self.batch * self.shards)
        if recipe.get("keep_last") and len(samples) % (self.batch * self.shards):
            self.epoch_steps += 1

    @cached_property
    def names(self) -> Names:
        """The class names, tokenised. UsageError if the text tower cannot be prompted."""
        return self.clip.names(self._names, self._wording)

    def order(self, epoch: int) -> Tensor:
        """(n,) the order in which an epoch takes the training images."""
        return torch.randperm(len(self.labels), generator=self._stream("order", epoch))

    def epoch(self, epoch: int, first: int) -> Iterator[tuple[int, tuple[Batch, ...]]]:
        """(step within the epoch, the batches of its shards) from step `first` to the last."""
        batches = self._batches(epoch, first * self.shards)
        for step in range(first, self.epoch_steps):
            yield step, tuple(islice(batches, self.shards))

    def _batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """The batches of an epoch from the one at `first` on, shard by shard."""
        order = self.order(epoch)
        picks = [
            order[at * self.batch : (at + 1) * self.batch]
            for at in range(first, self.epoch_steps * self.shards)
            if at * self.batch < len(order)
        ]
        prompts = checked_prompts(self.method, self.clip)
        prompted = prompts.image is not None
        needs_frozen = self.method.frozen is not None and self.method.frozen.images
        views: Sequence[Sequence[View]] = [
            [(int(i), epoch, view) for view in range(self.views) for i in pick] for pick in picks
        ]
        if prompted and self.group.size > 1:
            views = [[every[i] for i in self.share(len(every))] for every in views]
        pixels = self.images.batches(views) if prompted else iter(())
        frozen = self.epoch_features(self.clip, self.images, epoch) if needs_frozen else None
        own_features = None
        if not prompted:
            own_features = (
                frozen
                if frozen is not None and prompts.unit_images
                else self.epoch_features(self.clip, self.images, epoch, prompts.unit_images)
            )
        teacher = (
            None
            if self.teacher is None
            else self.epoch_features(self.teacher, self.teacher_pixels, epoch)
        )
        for pick in picks:
            own = _rows(own_features, pick)
            yield Batch(
                picks=pick.repeat(self.views),
                images=next(pixels) if own is None else own,
                teacher_images=_rows(teacher, pick),
                frozen_images=_rows(frozen, pick),
            )

    def epoch_features(self, clip: Clip, images: Images, epoch: int, unit: bool = True) -> Tensor:
        """(views, n, e) features of a frozen tower in an epoch's views, from the store."""
        return torch.stack(
            [self.view_features(clip, images, epoch, view, unit) for view in range(self.views)]
        )

    def view_features(
        self, clip: Clip, images: Images, epoch: int, view: int, unit: bool = True
    ) -> Tensor:
        """(n, e) features of a frozen tower in one view, from the store.

        With `unit` off they have the length that the tower gives them.
        """

        def encoded(picks: Sequence[int], done: int, total: int) -> Iterator[Tensor]:
            return encode_images(
                clip, images, ENCODED, self.notify, epoch, view, picks, done, total
            )

        def get(compute: Callable[[Sequence[int]], Iterable[Tensor]]) -> Tensor:
            return frozen_image_features(self.features, clip, images, compute, epoch, view, unit)

        return self.group.stored(get, encoded, ENCODED)

    def candidates(
        self, labels: Tensor, sampled: int, epoch: int, batch: int
    ) -> tuple[Tensor, Tensor]:
        """Sorted candidate classes (k,) of a batch, and which of them were drawn as negatives (k,).

        `sampled` is `Supervision.sampled`, `labels` (b,) are the classes of the batch's images, and
        `batch` is its number in the epoch, over the shards of all steps.
        """
        total = len(self.classes)
        if not 0 < sampled < total:
            return torch.arange(total), torch.ones(total, dtype=torch.bool)
        stream = self._stream("classes", epoch, batch)
        # From all classes, the batch's own included: POMP masks the collisions afterwards.
        negatives = torch.randperm(total, generator=stream)[: sampled - 1]
        candidates = torch.cat([labels, negatives]).unique()
        return candidates, torch.isin(candidates, negatives)

    def share(self, batch: int) -> Tensor:
        """Positions of this process's images in a batch."""
        return self.group.share(batch, "images")

    def _stream(self, purpose: str, *parts: object) -> torch.Generator:
        """A stream that depends on data and seed alone: compared methods see equal batches."""
        training = self.training
        base = (training.source, training.classes, training.shots, training.seed)
        return torch_stream(purpose, *base, *parts)


def _rows(features: Tensor | None, pick: Tensor) -> Tensor | None:
    """(b, e) of (views, n, e): the picked images, one view after the other."""
    return None if features is None else features[:, pick].flatten(0, 1)
