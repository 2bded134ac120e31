"""Tasks, which say what a method learns on and is scored on; and the bench that runs a cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from rppbench.contracts.dataset import Catalog, Component, Dataset, ReportProgress
from rppbench.contracts.evaluation import Evaluation
from rppbench.contracts.method import Method
from rppbench.contracts.region_bench import RegionBench
from rppbench.contracts.regions import Comparison
from rppbench.errors import UsageError
from rppbench.records.cell import EVERY_IMAGE, UNLABELLED
from rppbench.records.record import Score


@dataclass(frozen=True)
class Assignment:
    """The data of one cell: what to learn on and what to score."""

    dataset: str
    """Data set that is scored."""
    source: str
    """Data set that is learned on."""
    classes: str = "all"
    """Classes to learn on: 'all', 'base' (first half), 'seen' (all but `held_out`) or 'unlabelled'
    (all, for a method that does not use labels)."""
    shots: int | None = None
    """Training images per class (fewer if a class has fewer); None leaves it to the recipe."""
    start: str = ""
    """Data set on whose 'seen' classes the prompts are pretrained; '' starts from new ones."""
    held_out_shot: bool = False
    """Whether the last shot of each class is kept out of the training, to be scored."""

    @classmethod
    def unlabelled(cls, dataset: str) -> Assignment:
        """To score a data set after learning from all its training images without labels."""
        return cls(dataset, dataset, UNLABELLED, EVERY_IMAGE)


class Bench(Protocol):
    """The interface through which a task scores one cell: data, the method and its predictions."""

    @property
    def seed(self) -> int:
        """The cell's seed."""

    @property
    def dataset(self) -> Dataset:
        """The data set that is scored."""

    @property
    def regions(self) -> RegionBench:
        """The interface for tasks that score regions of images."""

    def fit(self) -> None:
        """Learn the cell's prompts, or load them if an earlier cell learned the same ones."""

    def evaluate(
        self,
        classes: Sequence[int] | None = None,
        split: str = "test",
        among: Sequence[int] | None = None,
    ) -> Evaluation:
        """Classify the images of the given classes (default all) among those classes.

        `among` are other candidates, which contain the classes. Labels and predictions are
        positions among the candidates.
        """

    def evaluate_validation(self, images: str) -> Evaluation:
        """Classify validation images among the learned classes; no test image is read.

        images: 'few-shot', 'held-out-shot' or 'full', as `Recipe.validation`; only 'full' for a
        data set that was not learned on, among all its classes. UsageError where there are none,
        or where they were learned from.
        """

    def evaluate_each(self, parts: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Classify the test images of each part of the classes among that part.

        All images and classes are encoded in one pass, so that work shared by parts is done once.
        """


class Task(Component, ABC):
    """A task: the data that a method learns on and is scored on, and the scores.

    Options are the keyword-only parameters of `__init__`.
    """

    metric: ClassVar[str] = "top1"
    """The primary metric, which tables show; for a cell without it, the first of its scores."""
    file_options: ClassVar[tuple[str, ...]] = ()
    """Options that `score_file` reads; `rppbench score` refuses others."""
    learns_as: str = ""
    """Name of the task whose recipes apply; '' for its own. It may depend on the options."""

    question: ClassVar[str] = ""
    """The question that its numbers answer, in a sentence or two, for the page of its results."""

    def inputs(self) -> Sequence[tuple[str, str]]:
        """(name, digest) of inputs other than data and weights: files that an option names.

        MissingDataError if they do not exist.
        """
        return ()

    def parts(self) -> Sequence[type | Callable[..., object]]:
        """Classes or functions of other plugins that the scores depend on, such as a proposer.

        Their source counts as the task's does.
        """
        return ()

    @abstractmethod
    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The cells of a method and seed, one entry each.

        No two have the same data set and `start`.
        """

    @abstractmethod
    def run(self, bench: Bench) -> Iterable[Score]:
        """The scores of one cell."""

    def score_file(
        self,
        data: Dataset,
        predictions: Path,
        report_progress: ReportProgress,
        warn: Callable[[str], None],
    ) -> Iterable[Score]:
        """The scores of another program's predictions for the test images, computed as by `run`.

        `report_progress` is called with the number of images scored so far and of all images,
        `warn` with remarks that a reader of the scores needs. UsageError for a file that is damaged
        or is for other images, and if the task reads no files.
        """
        raise UsageError(f"task {self.name!r} reads no files of predictions")

    def comparisons(self, bench: Bench) -> Iterator[Comparison]:
        """The images of a cell with truth and prediction, for a person to look at.

        UsageError where predictions cannot be drawn.
        """
        raise UsageError(f"task {self.name!r} has no pictures to show")
