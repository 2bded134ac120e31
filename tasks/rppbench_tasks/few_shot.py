"""Few-shot: learn on a few images of every class of a data set and score the same set.

Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rppbench.contracts import Assignment, Bench, Catalog, Method, Score, Task
from rppbench_tasks.shots import Shots
from rppbench_tasks.suite import DEFAULT_SUITE


class FewShot(Task):
    """One training and one cell for each few-shot set: all its classes, `shots` images each."""

    name = "few-shot"
    title = "Few-shot learning"
    question = (
        "Learn from a few images of every class of a data set. How well is the same set "
        "then recognised?"
    )
    paper = "arXiv:2109.01134"

    def __init__(self, *, suite: str = DEFAULT_SUITE, shots: Shots = 16) -> None:
        self.suite, self.shots = suite, shots

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The suite's few-shot sets (ImageNet and the transfer sets), each its own source."""
        return [
            Assignment(name, name, "all", self.shots)
            for name in catalog.names(self.suite, "few-shot")
        ]

    def run(self, bench: Bench) -> Iterable[Score]:
        """top1 over all classes, and the other metrics of `Evaluation.scores`."""
        bench.fit()
        return bench.evaluate().scores()
