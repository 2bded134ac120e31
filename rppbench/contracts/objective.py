"""A training step as a loss sees it, and the supervised loss that any method can be trained with.

Shapes: b images, k candidate classes of the step, e width of the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.learning import Supervision


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of the frozen towers that a loss compares the learned ones with."""

    wordings: tuple[str, ...] = ()
    """Wordings of the class names, each with one '{}'. () takes the data set's own template."""
    raw: bool = False
    """Whether features are averaged over wordings before they get unit length, not after."""
    images: bool = False
    """Whether it needs the step's image features too, of the views that the learned tower sees."""


@dataclass(frozen=True)
class Step:
    """One training step, or one shard of it, as a loss sees it. Features have unit length."""

    images: Tensor
    """(b, e); of another length if `Prompts.unit_images` is off."""
    texts: Tensor
    """(k, e), or (b, k, e) where the text depends on the image (`Conditional`)."""
    classes: Tensor
    """(k,) ids of the candidate classes in the source."""
    labels: Tensor
    """(b,) position of each image's class among the candidates."""
    negatives: Tensor
    """(k,) bool: candidates that were drawn as negatives (all of them without sampling).
    A candidate that is only another image's class is not a negative."""
    total: int
    """Number of classes of the source (POMP's N)."""
    scale: Tensor
    """() exp(logit_scale), frozen."""
    supervision: Supervision
    teacher: Tensor | None = None
    """(b, k) the teacher's logits over the same candidates, its own scale applied."""
    frozen_texts: Tensor | None = None
    """(k, e) if the method needs them (`Method.frozen`)."""
    frozen_images: Tensor | None = None
    """(b, e) if the method needs them."""
    head: Tensor | None = None
    """(b, k) what `Method.classify` returned."""

    @cached_property
    def logits(self) -> Tensor:
        """(b, k) logits of `Method.classify`, else scaled cosine similarities."""
        if self.head is not None:
            return self.head
        if self.texts.ndim == 3:
            return self.scale * (self.texts @ self.images[:, :, None]).squeeze(2)
        return self.scale * self.images @ self.texts.T

    @cached_property
    def own(self) -> Tensor:
        """(b, k) bool: the image's own class."""
        return F.one_hot(self.labels, len(self.classes)).bool()

    @cached_property
    def compared(self) -> Tensor:
        """(b, k) bool: each image's own class and its negatives."""
        return self.own | self.negatives

    @cached_property
    def complete(self) -> bool:
        """Whether every image is compared with all classes: nothing to mask, no margin but 0."""
        return len(self.classes) == self.total and bool(self.negatives.all())

    @property
    def cross_entropy(self) -> Tensor:
        """() POMP eq. 4: cross-entropy over own class and negatives, negatives shifted by m.

        m = log10(N - 1) - log10(number of negatives of this image), amazon-science/
        prompt-pretraining trainers/pomp.py; zero when every class is a candidate.
        """
        logits = self.logits
        if self.complete:  # bit-identical to the code below, with a third of its small kernels
            return F.cross_entropy(logits, self.labels)
        if self.supervision.correction:
            counts = (self.negatives & ~self.own).sum(1, keepdim=True).clamp(min=1)  # (b, 1)
            rest = logits.new_tensor(max(self.total - 1, 1))
            margin = torch.log10(rest) - torch.log10(counts.to(logits.dtype))
            logits = torch.where(self.own, logits, logits + margin)
        return F.cross_entropy(logits.masked_fill(~self.compared, -torch.inf), self.labels)

    @property
    def distillation(self) -> Tensor:
        """() T^2 KL(teacher || student) over the compared classes, batch mean, no margin."""
        assert self.teacher is not None, "distillation without a teacher"
        temperature = self.supervision.temperature
        hidden = ~self.compared
        # A large negative number, not -inf: 0 * (-inf - -inf) would be NaN in the sum below.
        low = torch.finfo(self.logits.dtype).min / 4
        teacher = F.log_softmax((self.teacher / temperature).masked_fill(hidden, low), 1)
        student = F.log_softmax((self.logits / temperature).masked_fill(hidden, low), 1)
        divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return temperature**2 * divergence

    @property
    def loss(self) -> Tensor:
        """() the supervised objective: cross-entropy, plus the weighted distillation if asked."""
        if self.teacher is None:
            return self.cross_entropy
        return self.cross_entropy + self.supervision.kd_weight * self.distillation
