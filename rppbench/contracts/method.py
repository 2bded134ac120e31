"""Methods: learned parameters, the places where they enter CLIP, and a loss.

Shapes: b images, c classes of the data set, k candidate classes of a step, e width of the shared
embedding. `contracts.fitted`, `contracts.averaging` and `contracts.checkpoint` hold what only some
methods add.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from rppbench.contracts.dataset import Component
from rppbench.contracts.learning import Learning
from rppbench.contracts.objective import FrozenFeatures, Step
from rppbench.contracts.prompts import Prompts, Space
from rppbench.records.cell import Option

Tower = Literal["text", "image"]
"""One of the two encoders of a CLIP."""


class Method(Component, nn.Module, ABC):
    """A way to prompt a frozen CLIP, or to classify by its features.

    Options are the keyword-only parameters of `__init__`; a method that is learned takes the
    fields of `Supervision` as options too. Its parameters are the only ones trained.
    """

    learning: ClassVar[Learning | None] = Learning()
    """The published way to learn it; None for a method that learns nothing."""
    frozen: FrozenFeatures | None = None
    """Features of the frozen towers that its loss compares with; None if it needs none."""
    uses_labels: ClassVar[bool] = True
    """Whether it learns from labels; one that does not may see images of classes that are scored
    as new."""
    searches: ClassVar[bool] = False
    """Whether it chooses values by their accuracy on validation images; the recipe's `validation`
    says which images these are."""
    open_vocabulary: ClassVar[bool] = True
    """Whether it can score classes that it did not learn; else tasks with such classes skip it."""
    conditional: ClassVar[bool] = False
    """Whether the text of every class depends on the image (`Conditional`), so that plans know
    what that costs."""

    def __init__(self, space: Space) -> None:
        super().__init__()

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        """The towers that learned vectors enter under these options.

        `options` holds a value for each option. A plan uses it, before a model is loaded, to name
        the cells whose backbone does not take such vectors.
        """
        return ()

    @abstractmethod
    def prompts(self) -> Prompts:
        """The vectors that enter both towers; differentiable, called once per step."""

    def classify(
        self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor
    ) -> Tensor | None:
        """(b, k) logits of unit features (b, e) and (k, e), in training and in testing.

        Text features have another length if `Templates.unit` is off, image features if
        `Prompts.unit_images` is off.

        `classes` (k,) are ids among the classes learned on (for other classes, positions),
        `scale` () is CLIP's exp(logit_scale). Returns None for the scaled cosines.
        """
        return None

    def loss(self, step: Step) -> Tensor:
        """() the objective of a step; `step.loss` is the supervised one."""
        return step.loss
