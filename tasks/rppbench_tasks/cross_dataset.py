"""Cross-dataset: learn once on the source, score the transfer sets without tuning.

Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022; with a large
vocabulary as the source: Ren et al., Prompt Pre-Training with Twenty-Thousand Classes for
Open-Vocabulary Visual Recognition, NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rppbench.contracts import Assignment, Bench, Catalog, Method, Score, Task
from rppbench_tasks.shots import ShotsOfRecipe
from rppbench_tasks.suite import DEFAULT_SUITE
from rppbench_tasks.transductive import unlabelled


class CrossDataset(Task):
    """One cell for each transfer set; all share one training on the source.

    With `transductive`, a method that does not use labels learns from all training images of each
    transfer set in place of the source; tables say so.
    """

    name = "cross-dataset"
    title = "Cross-dataset transfer"
    question = (
        "Learn once on a large vocabulary. Does it help on other data sets, none of them learned?"
    )
    paper = "arXiv:2203.05557, arXiv:2304.04704"
    targets: ClassVar[str] = "transfer"
    """Role of the data sets that are scored."""
    later_options: ClassVar[tuple[str, ...]] = ("transductive",)
    transductive: bool = False

    def __init__(
        self,
        *,
        suite: str = DEFAULT_SUITE,
        source: str = "",
        shots: ShotsOfRecipe = 0,
        transductive: bool = False,
    ) -> None:
        self.suite, self.source, self.shots = suite, source, shots
        self.transductive = transductive

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The suite's target sets; by default the source is of the kind that the method needs."""
        targets = catalog.names(self.suite, self.targets)
        if self.transductive:
            return unlabelled(targets, method)
        large = method.learning is not None and method.learning.large_source
        source = self.learned_on(catalog, method, large)
        return [
            Assignment(target, source or target, "seen", self.shots or None) for target in targets
        ]

    def learned_on(self, catalog: Catalog, method: type[Method], large: bool) -> str:
        """The source that is named, or that of the suite.

        '' for a method that learns nothing: the suite needs no source. UsageError for a suite
        without any data set, and for one without a source if the method learns.
        """
        if self.source:
            return self.source
        if method.learning is None and catalog.names(self.suite, self.targets):
            return ""
        return catalog.source(self.suite, large)

    def run(self, bench: Bench) -> Iterable[Score]:
        """top1 over all classes of the target, and the other metrics of `Evaluation.scores`."""
        bench.fit()
        return bench.evaluate().scores()
