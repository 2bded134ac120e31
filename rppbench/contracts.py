"""What methods, data sets and tasks are: the only module a plugin needs beside `hookimpl`.

Data sets are described in `rppbench.dataset`, which does without torch.

Shapes: b images, c classes of the data set, k candidate classes of a step, n learned tokens,
d width of a tower, e width of the shared embedding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from rppbench.dataset import Catalog, Dataset, Facts, Finding, Sample, Source
from rppbench.errors import UsageError
from rppbench.objective import Examples, Frozen, Step, Supervision
from rppbench.recipes import Recipe
from rppbench.records.cell import Option
from rppbench.records.record import Score

if TYPE_CHECKING:
    from rppbench.dense import Compared

__all__ = [
    "Adopted",
    "Assignment",
    "Bench",
    "Catalog",
    "Conditional",
    "Dataset",
    "Evaluation",
    "Examples",
    "Facts",
    "Finding",
    "Frozen",
    "Method",
    "Option",
    "Prompt",
    "Prompts",
    "Recipe",
    "Sample",
    "Score",
    "Source",
    "Space",
    "Step",
    "Supervision",
    "Task",
    "Templates",
]


# --- prompts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prompt:
    """Learned vectors for one tower. Block indices count from 0."""

    input: Tensor
    """(n, d) tokens that enter with the input: after the start token in the text tower, where
    positions are added to them; after the patches in the image tower, before `ln_pre`.
    (c, n, d) in the text tower makes them class-specific (the prefix is then not shared)."""
    stream: Mapping[int, Tensor] = field(default_factory=dict)
    """Block -> (m, d), m <= n: overwrites the first m prompt rows of the residual stream
    before that block (no positions are added)."""
    queries: Mapping[int, Tensor] = field(default_factory=dict)
    """Block -> (m, d): what the block's query projection sees in the prompt rows instead of the
    stream, through the block's own `ln_1`. The residual stream is untouched."""
    keys: Mapping[int, Tensor] = field(default_factory=dict)
    values: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Templates:
    """Fixed wording instead of learned text: features of all wordings are averaged."""

    wordings: tuple[str, ...] = ()
    """Each with one '{}'. () takes the data set's own template."""


@dataclass(frozen=True)
class Conditional:
    """Learned text that depends on the image: all classes are encoded once for each image."""

    contexts: Callable[[Tensor], Tensor]
    """(b, e) unit features of the images -> (b, n, d) tokens, as `Prompt.input`."""


@dataclass(frozen=True)
class Prompts:
    """What a method puts into both towers."""

    text: Prompt | Conditional | Templates = field(default_factory=Templates)
    image: Prompt | None = None
    """None leaves the image tower alone: its features are frozen and come from the store."""


@dataclass(frozen=True)
class Space:
    """The room a backbone offers to a method, and the stream its parameters start from."""

    text_width: int
    text_layers: int
    image_width: int
    image_layers: int
    embed: int
    classes: int
    """Number of classes of the training source."""
    words: Callable[[str], Tensor]
    """'a photo of a' -> (n, text_width) token embeddings of the frozen text tower."""
    generator: torch.Generator
    shots: int = 1
    """Training images of a class, at most."""
    taught: int = 0
    """Width of the teacher's embedding; 0 without a teacher."""

    def normal(self, *shape: int, std: float = 0.02) -> nn.Parameter:
        """A parameter drawn from N(0, std^2) on the method's own stream."""
        return nn.Parameter(torch.randn(shape, generator=self.generator) * std)


# --- methods --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Adopted:
    """A checkpoint of a method's official code in the method's own terms."""

    options: Mapping[str, Option]
    """What the checkpoint tells of them."""
    state: Mapping[str, Tensor]
    """The method's state dict."""
    start: Tensor | None = None
    """(d,) embedding of the start token as the file has it: tells one backbone from another."""


class Method(Facts, nn.Module, ABC):
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


# --- tasks --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assignment:
    """The data side of one cell: where to learn and what to score."""

    dataset: str
    """Scored data set."""
    source: str
    """Data set to learn on."""
    classes: str = "all"
    """Classes to learn on: 'all', 'base' (first half) or 'seen' (all but `held_out`)."""
    shots: int | None = None
    """Training images a class (all of a class that has fewer); None leaves it to the recipe."""
    start: str = ""
    """Data set on whose 'seen' classes prompts are pretrained first; '' starts afresh."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions on one list of test images."""

    labels: Tensor
    """(b,) int64"""
    ranked: Tensor
    """(b, <=5) int64, best first."""
    classes: int
    """Number of classes that were to choose from."""
    confidence: Tensor | None = None
    """(b,) probability that was given to the best class; None if that is not known."""
    losses: Tensor | None = None
    """(b,) cross-entropy of each image among the classes, in nats; None if that is not known."""
    train_loss: float | None = None
    """Mean of the same over images that the prompts were learned on, among their classes."""

    def scores(self, name: str = "") -> tuple[Score, ...]:
        """top1 (with counts and outcomes), top5, per_class, ece and losses.

        With a `name`, top1 is called so, and the others 'name_top5', ...
        """
        from rppbench.metrics import scores  # metrics needs Evaluation for its types

        return scores(self, name)


class Bench(Protocol):
    """What a task is given: data, the method fitted as the cell says, and accuracy."""

    @property
    def seed(self) -> int: ...

    @property
    def dataset(self) -> Dataset:
        """The data set that is scored."""

    def fit(self) -> None:
        """Learn the cell's prompts, or fetch them if a cell before learned the same ones."""

    def evaluate(self, classes: Sequence[int] | None = None, split: str = "test") -> Evaluation:
        """Classify the images of the given classes (default all) among those classes.

        Labels and predictions are positions in `classes`.
        """

    def evaluate_each(self, parts: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Classify the test images of each part of the classes among that part.

        One pass over all images and classes: what several parts share is computed once.
        """

    def samples(self, split: str = "test") -> Sequence[Sample]:
        """The images to score: those of the data set, or as many as the cell is limited to."""

    def progress(self, done: int, total: int) -> None:
        """Tell how many of the images are scored."""

    def encode(self, images: Iterable[Image.Image], *, prompted: bool = True) -> Tensor:
        """Unit features (b, e) of any images or crops, through the tower as the method prompts it.

        On the CPU; without the method's tokens if not `prompted`. Images are taken one by one, so
        crops need not all be in memory. Nothing is stored: see `remembered`.
        """

    def remembered(
        self,
        key: Mapping[str, object],
        rows: int,
        compute: Callable[[], Tensor],
        *,
        prompted: bool = True,
    ) -> Tensor:
        """`compute()`, features (rows, e) of images or crops; not again where it was done before.

        `key` tells what they show; data, tower and precision are added to it. Where the method
        prompts the image tower they are its own, and nothing is stored, unless they are not
        `prompted`.
        """

    def kept(
        self, key: Mapping[str, object], compute: Callable[[], Mapping[str, NDArray[Any]]]
    ) -> Mapping[str, NDArray[Any]]:
        """`compute()`, arrays that follow from the data set's images whatever the method.

        Not again where it was done before: proposals, for example. `key` tells what they are;
        the data are added to it.
        """

    @property
    def frozen_images(self) -> bool:
        """Whether the method leaves the image tower alone: its features serve other methods too."""

    def patches(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit features (b, rows, columns, e) of the patches of images of one size, on the CPU.

        Sides are multiples of a patch's. UsageError for towers without patches.
        """

    @property
    def sides(self) -> tuple[int, int]:
        """Pixels of a side of the image that the tower was trained on, and of a patch."""

    @property
    def fill(self) -> tuple[int, int, int]:
        """The mean colour of the tower's training images, which tells it nothing."""

    def similarities(
        self, features: Tensor, names: Sequence[str], *, prompted: bool = True
    ) -> Tensor:
        """(b, c) cosines of unit features (b, e) and any class names, as the method words them.

        Not `prompted`: in the data set's own wording, as zero-shot CLIP does.
        Times `scale` they are CLIP's logits. UsageError where the method knows only the classes
        that it learned.
        """

    @property
    def scale(self) -> float:
        """CLIP's exp(logit_scale)."""


class Task(Facts, ABC):
    """What is asked of a method. Options are the keyword-only parameters of `__init__`."""

    version: ClassVar[int] = 1
    """Raised whenever the same cell would give another number."""
    metric: ClassVar[str] = "top1"
    """The primary metric, the one tables show; where a cell has none of that name, its first."""

    def inputs(self) -> Sequence[tuple[str, str]]:
        """(what, digest) of all that enters beside data and weights: files that an option names.

        MissingDataError if they are not there.
        """
        return ()

    @abstractmethod
    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """One entry for each cell of a method and seed; cells of one data set differ in `start`."""

    @abstractmethod
    def run(self, bench: Bench) -> Iterable[Score]:
        """Score one cell."""

    def score_file(
        self,
        data: Dataset,
        predictions: Path,
        progress: Callable[[int, int], None],
        tell: Callable[[str], None],
    ) -> Iterable[Score]:
        """Score what another program predicted for the test images, as `run` would.

        `progress` hears how many images are scored, `tell` what a reader of the numbers should
        know. UsageError for a file that is damaged or of other images, and where a task reads none.
        """
        raise UsageError(f"task {self.name!r} reads no files of predictions")

    def compared(self, bench: Bench) -> Iterator[Compared]:
        """Truth and prediction of the images of a cell, to look at. UsageError if it has none."""
        raise UsageError(f"task {self.name!r} has no pictures to show")
