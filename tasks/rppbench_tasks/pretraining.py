"""Pretraining: learn prompts on a large vocabulary and classify among all its classes.

Ren et al., Prompt Pre-Training with Twenty-Thousand Classes for Open-Vocabulary Visual
Recognition, NeurIPS 2023, section 4.1; Chen et al., Revisiting Prompt Pretraining of
Vision-Language Models, 2024.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rppbench.contracts import Assignment, Bench, Catalog, Method, Score, Task


class Pretraining(Task):
    """One cell: the vocabulary is source and target; held-out classes are never trained on."""

    name = "pretraining"
    title = "Prompt pretraining"
    paper = "arXiv:2304.04704, arXiv:2409.06166"

    def __init__(self, *, suite: str = "demo", source: str = "", shots: int = 0) -> None:
        self.suite, self.source, self.shots = suite, source, shots

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The suite's large vocabulary for every method, unless another source is named."""
        source = self.source or catalog.source(self.suite, True)
        return [Assignment(source, source, "seen", self.shots or None)]

    def run(self, bench: Bench) -> Iterable[Score]:
        """top1 among all classes; `base` and `held_out` classify each part among itself."""
        bench.fit()
        yield from bench.evaluate().scores()
        held_out = list(bench.dataset.held_out())
        if held_out:
            hidden = set(held_out)
            base = [c for c in range(len(bench.dataset.classes)) if c not in hidden]
            yield from bench.evaluate(base).scores("base")
            yield from bench.evaluate(held_out).scores("held_out")
