"""Fine-tune: pretrained prompts as an initialisation, compared with new prompts.

Chen et al., Revisiting Prompt Pretraining of Vision-Language Models, 2024, propose pretrained
prompts as an initialisation. The paper's settings for tuning were not available; the two protocols
here are CoOp's and CoCoOp's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rppbench.contracts import Assignment, Bench, Catalog, Method, Score, Task
from rppbench_tasks.base_to_new import base_to_new
from rppbench_tasks.shots import Shots
from rppbench_tasks.suite import DEFAULT_SUITE


class FineTune(Task):
    """Two cells for each transfer set: one tunes pretrained prompts, the other new ones.

    `protocol` is how they are tuned and scored: 'few-shot' (all classes) or 'base-to-new'.
    """

    name = "fine-tune"
    title = "Fine-tuning pretrained prompts"
    question = (
        "Tune prompts that were pretrained on the large vocabulary. Is that a better "
        "start than a fresh one?"
    )
    paper = "arXiv:2409.06166"

    def __init__(
        self,
        *,
        suite: str = DEFAULT_SUITE,
        source: str = "",
        shots: Shots = 16,
        protocol: Literal["few-shot", "base-to-new"] = "few-shot",
    ) -> None:
        self.suite, self.source, self.shots = suite, source, shots
        self.protocol = protocol

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The suite's transfer sets, each its own source; pretraining is that of `pretraining`."""
        pretrained = self.source or catalog.source(self.suite, True)
        classes = "all" if self.protocol == "few-shot" else "base"
        return [
            Assignment(name, name, classes, self.shots, start)
            for start in (pretrained, "")
            for name in catalog.names(self.suite, "transfer")
        ]

    def run(self, bench: Bench) -> Iterable[Score]:
        """The scores of the protocol's task; in 'base-to-new' `top1` is the harmonic mean."""
        bench.fit()
        if self.protocol == "few-shot":
            return bench.evaluate().scores()
        return base_to_new(bench, self.metric)
