"""Base-to-new: learn on half of the classes, score that half and the other one.

Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022, section 4.1; the
harmonic mean: Xian et al., Zero-Shot Learning: A Comprehensive Evaluation, TPAMI 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rppbench.contracts import Assignment, Bench, Catalog, Method, Score, Task
from rppbench.stats.intervals import harmonic_mean
from rppbench_tasks.shots import Shots
from rppbench_tasks.suite import DEFAULT_SUITE
from rppbench_tasks.transductive import unlabelled


class BaseToNew(Task):
    """One training and one cell a few-shot set; each half is classified among its own classes.

    Images are drawn before the classes are halved, so they are those of `few-shot`. With
    `transductive`, a method that does not use labels learns from all training images, those of new
    classes too; tables say so. With `joint`, each half is classified among all classes too.
    """

    name = "base-to-new"
    title = "Base-to-new generalisation"
    question = (
        "Learn from half of the classes. Are the half that was learned and the half "
        "never seen both recognised?"
    )
    paper = "arXiv:2203.05557"
    metric = "harmonic_mean"
    later_options = ("joint", "transductive")

    def __init__(
        self,
        *,
        suite: str = DEFAULT_SUITE,
        shots: Shots = 16,
        transductive: bool = False,
        joint: bool = False,
    ) -> None:
        self.suite, self.shots = suite, shots
        self.transductive, self.joint = transductive, joint

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The suite's few-shot sets (ImageNet and the transfer sets), each its own source."""
        names = catalog.names(self.suite, "few-shot")
        if self.transductive:
            return unlabelled(names, method)
        return [Assignment(name, name, "base", self.shots) for name in names]

    def run(self, bench: Bench) -> Iterable[Score]:
        """top1 of the learned classes (`base`), of the others (`new`), and their harmonic mean."""
        bench.fit()
        own = base_to_new(bench, self.metric, gap=not self.transductive)
        return [*own, *joint(bench)] if self.joint else own


def base_to_new(bench: Bench, metric: str, *, gap: bool = True) -> list[Score]:
    """Scores of each half among its own classes; `metric` names the harmonic mean.

    Without `gap`, other classes than base were learned too, so the losses have no loss gap.
    """
    base_classes, new_classes = bench.dataset.halves()
    learned = bench.evaluate(base_classes)
    base = (learned if gap else replace(learned, train_loss=None)).scores("base")
    # These classes were not learned: the difference of the losses would not be a loss gap.
    new = replace(bench.evaluate(new_classes), train_loss=None).scores("new")
    return [Score(metric, harmonic_mean(base[0].value, new[0].value)), *base, *new]


def joint(bench: Bench) -> list[Score]:
    """Scores of each half among all classes, and their harmonic mean, `joint`.

    A method that takes every image for one of a learned class is right on base images here, and
    wrong on all others; the two separate halves do not show that (arXiv:2505.05180).
    """
    every = range(len(bench.dataset.classes))
    # All losses are over all classes, of which new ones were not learned: there is no loss gap.
    base, new = (
        replace(bench.evaluate(half, among=every), train_loss=None).scores(f"{name}_joint")
        for half, name in zip(bench.dataset.halves(), ("base", "new"), strict=True)
    )
    return [Score("joint", harmonic_mean(base[0].value, new[0].value)), *base, *new]
