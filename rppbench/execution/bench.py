"""The bench of a cell: its data, its method and what the method predicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.evaluation import Evaluation
from rppbench.data.checked import checked_samples
from rppbench.data.draws import FULL, HELD_OUT_SHOT, validation_of
from rppbench.data.images import Notify
from rppbench.data.parts import COMPLETE, VALIDATION, samples_of, scored_part, validated_classes
from rppbench.data.splits import of_classes, spread, training_classes
from rppbench.errors import UsageError
from rppbench.evaluation.classify import Head
from rppbench.evaluation.inference_cost import InferenceCost, inference_cost
from rppbench.evaluation.scorer import Scorer
from rppbench.execution.cell_method import CellMethod
from rppbench.execution.region_bench import CellRegions
from rppbench.execution.resources import Resources
from rppbench.files.class_names import seen_names
from rppbench.records.cell import Cell


class CellBench:
    """The bench of one cell; implements `contracts.Bench`."""

    def __init__(
        self,
        cell: Cell,
        resources: Resources,
        notify: Notify,
        retrain: bool,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.cell, self.resources, self.notify = cell, resources, notify
        self.clip = resources.backbones(cell.backbone, cell.precision)
        self.seed = cell.seed
        resources.contents.begin(lambda step: lambda done, total: notify("look", done, total, {}))
        self._scorer = Scorer(
            self.clip,
            resources.features,
            resources.batch_size,
            resources.workers,
            notify,
            resources.contents,
        )
        self.method = CellMethod(cell, resources, self._scorer, retrain, warn)
        self._scored: dict[str, str] = {}
        """Digests of the data that were scored, by part."""
        self._fitted_at = 0.0
        """Monotonic time at which the prompts were ready and scoring began."""
        self._first_scored: tuple[Sequence[Sample], Sequence[int], Head] | None = None
        """Images, classes and head of the first evaluation."""
        self.evaluated: list[int] = []
        """Number of images of each evaluation so far."""

    @property
    def dataset(self) -> Dataset:
        return self.resources.dataset(self.cell.dataset)

    @cached_property
    def regions(self) -> CellRegions:
        """The part of the bench for tasks that score regions of images."""
        return CellRegions(self.method, self.dataset, self.notify, self._scored)

    @property
    def contents(self) -> dict[str, str]:
        """Digests of all data that the cell has used so far, by part."""
        classes = dict([self.resources.contents.classes(self.dataset)])
        return {**self.method.contents, **classes, **self._scored}

    def fit(self) -> None:
        """Learn the cell's prompts, or load them if they were learned before."""
        self.method.fit()
        self._fitted_at = time.monotonic()

    @property
    def eval_seconds(self) -> float:
        """Seconds since the prompts were ready; 0 before."""
        return time.monotonic() - self._fitted_at if self._fitted_at else 0.0

    def inference_cost(self) -> InferenceCost | None:
        """The cost of a live prediction among the classes that were scored first.

        None for a task that classifies no images.
        """
        if self._first_scored is None:
            return None
        samples, chosen, head = self._first_scored
        return inference_cost(
            self.clip,
            self.method.prompts,
            self.dataset,
            samples[: self.resources.batch_size],
            [self.dataset.classes[label] for label in chosen],
            head,
        )

    @cached_property
    def seen_names(self) -> str:
        """How many of the class names were learned on another data set: '12/47'.

        '' if nothing was learned on another one.
        """
        learned: list[str] = []
        for training in self.cell.trainings:
            if training.source != self.cell.dataset:
                source = self.resources.dataset(training.source)
                learned += [source.classes[i] for i in training_classes(source, training.classes)]
        names = self.dataset.classes
        return f"{len(seen_names(names, learned))}/{len(names)}" if learned else ""

    def evaluate(
        self,
        classes: Sequence[int] | None = None,
        split: str = "test",
        among: Sequence[int] | None = None,
    ) -> Evaluation:
        """Classify the images of the given classes (default all) among those or other classes."""
        chosen = list(range(len(self.dataset.classes))) if classes is None else list(classes)
        candidates = chosen if among is None else list(among)
        samples = self._samples(chosen, split)
        if candidates != chosen:
            position = {label: index for index, label in enumerate(candidates)}
            samples = [Sample(sample.key, position[chosen[sample.label]]) for sample in samples]
        return self._classify(samples, candidates, [range(len(candidates))])[0]

    def evaluate_validation(self, images: str) -> Evaluation:
        """Classify validation images among the learned classes, of other data sets among all."""
        training, dataset = self.cell.training, self.dataset
        if training is None:
            raise UsageError(f"{self.cell.method.name!r} learns nothing")
        if training.source != dataset.name and images != FULL:
            raise UsageError(f"{self.cell.method.name!r} was not learned on {dataset.name!r}")
        if images == HELD_OUT_SHOT != validation_of(training):
            raise UsageError(f"the shots of {dataset.name!r} were all learned from")
        part = f"{VALIDATION}{images}"
        samples = samples_of(dataset, part, self.cell.limit, training)
        if not samples:
            raise UsageError(
                f"data set {dataset.name!r} has no validation images; {HELD_OUT_SHOT} takes one "
                "shot of each class"
            )
        self._record(part, samples)
        chosen = validated_classes(dataset, training)
        return self._classify(samples, chosen, [range(len(chosen))])[0]

    def evaluate_each(self, parts: Sequence[Sequence[int]]) -> list[Evaluation]:
        """For each part of the classes, classify its test images among that part, in one pass."""
        every = list(range(len(self.dataset.classes)))
        return self._classify(self._samples(every, "test"), every, parts)

    def _samples(self, chosen: Sequence[int], split: str) -> Sequence[Sample]:
        """The images to score of these classes, labelled by position in `chosen`; recorded."""
        samples = spread(of_classes(checked_samples(self.dataset, split), chosen), self.cell.limit)
        if not samples:
            raise UsageError(f"data set {self.dataset.name!r} has no {split!r} images to score")
        part = scored_part(self.dataset, split, chosen)
        complete = part.startswith(COMPLETE)
        self._record(part, self.dataset.samples(split) if complete else samples)
        return samples

    def _classify(
        self, samples: Sequence[Sample], chosen: Sequence[int], parts: Sequence[Sequence[int]]
    ) -> list[Evaluation]:
        """One evaluation for each part; samples are labelled by position in `chosen`."""
        method = self.method
        if method.class_specific:
            method.check_classes(chosen)
        names = [self.dataset.classes[label] for label in chosen]
        training = self.cell.training
        on_source = training is not None and training.source == self.cell.dataset
        head = method.head(method.positions(names, chosen if on_source else None))
        evaluations = self._scorer(method.prompts, self.dataset, samples, chosen, parts, head)
        self._first_scored = self._first_scored or (samples, chosen, head)
        self.evaluated += [len(evaluation.labels) for evaluation in evaluations]
        return [replace(evaluation, train_loss=method.train_loss) for evaluation in evaluations]

    def _record(self, part: str, samples: Sequence[Sample]) -> None:
        """Record what the images of a part hold now."""
        name, digest = self.resources.contents.record(self.dataset, part, samples)
        self._scored[name] = digest
