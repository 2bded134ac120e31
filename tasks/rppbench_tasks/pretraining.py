"""Pretraining: learn prompts on a large vocabulary and classify among all its classes.

Ren et al., Prompt Pre-Training with Twenty-Thousand Classes for Open-Vocabulary Visual
Recognition, NeurIPS 2023, section 4.1; Chen et al., Revisiting Prompt Pretraining of
Vision-Language Models, 2024.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rppbench.contracts import Assignment, Bench, Catalog, Method, Score, Task
from rppbench_tasks.shots import ShotsOfRecipe
from rppbench_tasks.suite import DEFAULT_SUITE


class Pretraining(Task):
    """One cell: the vocabulary is source and target; held-out classes are not learned."""

    name = "pretraining"
    title = "Prompt pretraining"
    question = (
        "Learn on the large vocabulary. How well are its classes and held-out ones told apart?"
    )
    paper = "arXiv:2304.04704, arXiv:2409.06166"

    def __init__(
        self,
        *,
        suite: str = DEFAULT_SUITE,
        source: str = "",
        shots: ShotsOfRecipe = 0,
    ) -> None:
        self.suite, self.source, self.shots = suite, source, shots

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The suite's large vocabulary for every method, unless another source is named."""
        source = self.source or catalog.source(self.suite, True)
        return [Assignment(source, source, "seen", self.shots or None)]

    def run(self, bench: Bench) -> Iterable[Score]:
        """top1 among all classes; `base` and `held_out` are the top1 of each part among its own."""
        bench.fit()
        every = range(len(bench.dataset.classes))
        held_out = list(bench.dataset.held_out())
        if not held_out:
            return bench.evaluate().scores()
        hidden = set(held_out)
        base = [label for label in every if label not in hidden]
        complete, seen, unseen = bench.evaluate_each([every, base, held_out])
        unseen = replace(unseen, train_loss=None)  # not learned, so no loss gap
        return (*complete.scores(), *seen.scores("base"), *unseen.scores("held_out"))
