"""Fine-tune: what pretrained prompts are worth as a start, against the same structure afresh.

Chen et al., Revisiting Prompt Pretraining of Vision-Language Models, 2024, put pretrained prompts
forward as an initialisation; which tuned settings are in the paper was not seen. The two here are
CoOp's and CoCoOp's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rppbench.contracts import Assignment, Bench, Catalog, Method, Score, Task
from rppbench_tasks.base_to_new import base_to_new


class FineTune(Task):
    """Two cells for each transfer set: prompts tuned from pretrained ones, and from a fresh start.

    `protocol` says what is tuned for and scored: 'few-shot' (all classes) or 'base-to-new'.
    """

    name = "fine-tune"
    title = "Fine-tuning pretrained prompts"
    paper = "arXiv:2409.06166"

    def __init__(
        self,
        *,
        suite: str = "demo",
        source: str = "",
        shots: int = 16,
        protocol: Literal["few-shot", "base-to-new"] = "few-shot",
    ) -> None:
        self.suite, self.source, self.shots = suite, source, shots
        self.protocol = protocol

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The suite's transfer sets, each its own source; pretraining as in `pretraining`."""
        pretrained = self.source or catalog.source(self.suite, True)
        classes = "all" if self.protocol == "few-shot" else "base"
        return [
            Assignment(name, name, classes, self.shots, start)
            for start in (pretrained, "")
            for name in catalog.names(self.suite, "transfer")
        ]

    def run(self, bench: Bench) -> Iterable[Score]:
        """The scores of the protocol's own task; `top1` is the harmonic mean of base and new."""
        bench.fit()
        if self.protocol == "few-shot":
            return bench.evaluate().scores()
        return base_to_new(bench, self.metric)
