"""What a training step hands to a loss, and the losses that any method can be trained with.

Shapes: b images, k candidate classes of the step, e width of the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Supervision:
    """How a method is supervised; every field is an option of every trained method.

    A method class sets its published defaults: any structure goes with any supervision.
    """

    sampled: int = 0
    """Candidate classes a step (POMP's K: the true class and K - 1 negatives); 0 takes all."""
    correction: bool = True
    """POMP's local correction of the missing negatives, eq. 4-5 with log10 as in its code."""
    kd: bool = False
    """Learn from a frozen teacher's zero-shot probabilities too (RPP)."""
    kd_weight: float = 1.0
    """Weight of the distillation term, batch mean."""
    temperature: float = 1.0
    """Softens both distributions of the distillation term, on top of CLIP's logit scale."""


@dataclass(frozen=True)
class Frozen:
    """Features of the frozen towers that a loss holds the learned ones against."""

    wordings: tuple[str, ...] = ()
    """Of the class names, each with one '{}'. () takes the data set's own template."""
    raw: bool = False
    """Whether the mean over wordings is of features as long as they are, not of unit ones."""
    images: bool = False
    """The images of the step too, in the views that the learned tower sees."""


@dataclass(frozen=True)
class Examples:
    """The images of a training as the frozen tower sees them. Features have unit length."""

    images: Tensor
    """(views, n, e)"""
    labels: Tensor
    """(n,)"""
    val_images: Tensor
    """(m, e), without augmentation; m is 0 where the data set has no images to choose by."""
    val_labels: Tensor
    """(m,)"""
    texts: Tensor
    """(c, e) of all classes, in the method's wording."""
    scale: Tensor
    """() exp(logit_scale), frozen."""


@dataclass(frozen=True)
class Step:
    """One training step as a loss sees it. Features have unit length."""

    images: Tensor
    """(b, e)"""
    texts: Tensor
    """(k, e), or (b, k, e) where the text depends on the image (`Conditional`)."""
    classes: Tensor
    """(k,) ids of the candidate classes in the source."""
    labels: Tensor
    """(b,) position of each image's class among the candidates."""
    negatives: Tensor
    """(k,) bool: candidates that were drawn as negatives (all of them without sampling).
    A candidate that is there only as another image's class is no negative."""
    total: int
    """Number of classes of the source (POMP's N)."""
    scale: Tensor
    """() exp(logit_scale), frozen."""
    supervision: Supervision
    teacher: Tensor | None = None
    """(b, k) the teacher's logits over the same candidates, its own scale applied."""
    frozen_texts: Tensor | None = None
    """(k, e) where the method asks for them (`Method.frozen`)."""
    frozen_images: Tensor | None = None
    """(b, e) likewise."""

    head: Tensor | None = None
    """(b, k) logits of the method's own (`Method.classify`)."""

    @cached_property
    def logits(self) -> Tensor:
        """(b, k) scaled cosine similarities, or what the method has instead."""
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
        if self.complete:  # the same to the last bit as below, at a third of the small kernels
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
        heat = self.supervision.temperature
        hidden = ~self.compared
        # A large negative number, not -inf: 0 * (-inf - -inf) would be NaN in the sum below.
        low = torch.finfo(self.logits.dtype).min / 4
        teacher = F.log_softmax((self.teacher / heat).masked_fill(hidden, low), 1)
        student = F.log_softmax((self.logits / heat).masked_fill(hidden, low), 1)
        return heat**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)

    @property
    def loss(self) -> Tensor:
        """() the supervised objective: cross-entropy, plus the weighted distillation if asked."""
        if self.teacher is None:
            return self.cross_entropy
        return self.cross_entropy + self.supervision.kd_weight * self.distillation
