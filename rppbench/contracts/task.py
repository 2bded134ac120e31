"""What is asked of a method: tasks, the data side of their cells, and the bench they score on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts.dataset import Catalog, Component, Dataset, Sample
from rppbench.contracts.evaluation import Evaluation
from rppbench.contracts.method import Method
from rppbench.errors import UsageError
from rppbench.records.record import Score

if TYPE_CHECKING:
    from rppbench.contracts.regions import Compared


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
        """Report how many of the images are scored."""

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


class Task(Component, ABC):
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
