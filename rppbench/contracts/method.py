"""What methods, data sets and tasks are: the only module a plugin needs beside `hookimpl`.

Data sets are described in `rppbench.contracts.dataset`, which does without torch.

Shapes: b images, c classes of the data set, k candidate classes of a step, n learned tokens,
d width of a tower, e width of the shared embedding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from rppbench.contracts.dataset import Component
from rppbench.contracts.objective import Examples, Frozen, Step, Supervision
from rppbench.contracts.prompts import Prompts, Space
from rppbench.contracts.recipe import Recipe
from rppbench.records.cell import Option

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Adopted:
    """A checkpoint of a method's official code in the method's own terms."""

    options: Mapping[str, Option]
    """What the checkpoint tells of them."""
    state: Mapping[str, Tensor]
    """The method's state dict."""
    start: Tensor | None = None
    """(d,) embedding of the start token as the file has it: tells one backbone from another."""


class Method(Component, nn.Module, ABC):
    """A way to prompt a frozen CLIP: parameters, where they enter, and a loss.

    Options are the keyword-only parameters of `__init__`; a method that is trained takes the
    fields of `Supervision` as options too. Its parameters are the only ones trained.
    """

    supervision: ClassVar[Supervision | None] = Supervision()
    """Published defaults; None for a method that learns nothing."""
    recipes: ClassVar[tuple[Recipe, ...]] = ()
    large_source: ClassVar[bool] = False
    """True where the method was made for pretraining on a large vocabulary."""
    frozen: Frozen | None = None
    """What of the frozen towers its loss needs; None if nothing."""
    open_vocabulary: ClassVar[bool] = True
    """False where it knows only the classes that it learned: other tasks leave it out."""
    teacher_texts: ClassVar[bool] = False
    """True where the teacher's text features are the classifier, in learning and in testing."""
    shown: int = 0
    """Views of each training image in the `Examples` that it is fitted to; 0 if it is not."""

    def __init__(self, space: Space) -> None:
        super().__init__()

    @abstractmethod
    def prompts(self) -> Prompts:
        """What enters the towers now; differentiable, called once a step."""

    def classify(
        self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor
    ) -> Tensor | None:
        """(b, k) logits of unit features (b, e) and (k, e), in learning and in testing.

        `classes` (k,) are their ids among the classes learned on (for other classes, positions),
        `scale` () is CLIP's. None leaves it at scaled cosines.
        """
        return None

    def start(self, examples: Examples) -> None:
        """Before the first step: what parameters and buffers start from. Only if `shown`."""

    def finish(self, examples: Examples) -> None:
        """After the last step: what is solved or searched instead of learned. Only if `shown`."""

    def loss(self, step: Step) -> Tensor:
        """The objective of a step, (); `step.loss` is the supervised one."""
        return step.loss

    @classmethod
    def adopt(cls, checkpoint: Mapping[str, Tensor]) -> Adopted | None:
        """What a checkpoint of the official code holds; None if none can be read.

        UsageError for tensors that are not those of such a checkpoint. Sizes are checked later.
        """
        return None

    def averaging(self, epochs: int) -> Sequence[float] | None:
        """Weights of the parameters after each epoch in what is kept; None keeps the last ones."""
        return None
