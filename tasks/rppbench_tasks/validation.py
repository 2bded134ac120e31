"""Validation: learn on a few images of a data set and score its validation images.

For choosing settings: no test image is read. `rppbench tune` and `ablate --split val` score with it
what another task learns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rppbench.contracts import Assignment, Bench, Catalog, Method, Score, Task
from rppbench_tasks.shots import Shots
from rppbench_tasks.suite import DEFAULT_SUITE


class Validation(Task):
    """One training and one cell for each few-shot set, scored on validation images.

    `images` are 'full' (the validation split), 'few-shot' (at most four of each class) or
    'held-out-shot' (the last shot of each class, which is not learned from). Candidates are the
    `classes` that were learned.
    """

    name = "validation"
    title = "Accuracy on validation images"
    paper = "arXiv:2312.12730, arXiv:2410.05270"

    def __init__(
        self,
        *,
        suite: str = DEFAULT_SUITE,
        shots: Shots = 16,
        classes: Literal["all", "base", "seen"] = "all",
        images: Literal["full", "few-shot", "held-out-shot"] = "full",
    ) -> None:
        self.suite, self.shots, self.classes, self.images = suite, shots, classes, images

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The suite's few-shot sets, each its own source."""
        held_out = self.images == "held-out-shot"
        return [
            Assignment(name, name, self.classes, self.shots, held_out_shot=held_out)
            for name in catalog.names(self.suite, "few-shot")
        ]

    def run(self, bench: Bench) -> Iterable[Score]:
        """top1 over the learned classes, and the other metrics of `Evaluation.scores`."""
        bench.fit()
        return bench.evaluate_validation(self.images).scores()
