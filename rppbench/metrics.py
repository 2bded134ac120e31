"""Accuracy from predictions: counts first, percentages last."""

from __future__ import annotations

import torch

from rppbench.contracts import Evaluation
from rppbench.outcomes import pack_outcomes
from rppbench.records import Score


def scores(evaluation: Evaluation, name: str = "") -> tuple[Score, ...]:
    """top1 (with counts and outcome bits), top5 and per_class; only top1 called `name` if given.

    per_class is the mean over classes of the accuracy within the class; classes without a test
    image do not enter. top5 is left out where there are no more than five classes to choose from.
    """
    labels, ranked = evaluation.labels, evaluation.ranked
    right = ranked[:, 0] == labels  # (b,)
    top1 = _score(name or "top1", right)
    if name:
        return (top1,)
    result = [top1]
    if ranked.shape[1] == 5 and evaluation.classes > 5:
        within = (ranked == labels[:, None]).any(1)
        result.append(_score("top5", within, outcomes=False))
    totals = torch.bincount(labels)
    correct = torch.bincount(labels, weights=right.double())
    present = totals > 0
    per_class = 100 * (correct[present] / totals[present]).mean().item()
    result.append(Score("per_class", per_class, total=len(labels)))
    return tuple(result)


def _score(metric: str, right: torch.Tensor, outcomes: bool = True) -> Score:
    correct, total = int(right.sum()), len(right)
    return Score(
        metric,
        100 * correct / total,
        correct,
        total,
        pack_outcomes(right.tolist()) if outcomes else None,
    )
