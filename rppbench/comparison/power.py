"""The estimate behind a comparison of two rows, for the question how many seeds it takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rppbench.comparison.compare import Comparison, compare
from rppbench.records.record import Record
from rppbench.stats.two_level import Estimate, estimate


@dataclass(frozen=True)
class Pilot:
    """A comparison that was made, as the pilot of a larger one."""

    comparison: Comparison
    seeds: tuple[int, ...]
    estimate: Estimate | None
    """Of the average over the data sets (of the only column); fractions, not percent. None where
    one seed, and no outcomes of images, say nothing."""


def pilots(
    records: Iterable[Record],
    first: str,
    second: str,
    task: str | None = None,
    metric: str | None = None,
) -> tuple[list[Pilot], list[str]]:
    """A pilot for each table that has both rows, and the remarks of `compare`, whose errors it
    raises."""
    comparisons, remarks = compare(records, first, second, task, metric)
    return [_pilot(one) for one in comparisons], remarks


def _pilot(comparison: Comparison) -> Pilot:
    pairs = comparison.pairs[:1] if comparison.table.by_metric else comparison.pairs
    if pairs:
        common = set.intersection(*(set(pair.seeds) for pair in pairs))
        seeds = tuple(sorted(common))
        if not seeds:
            return Pilot(comparison, (), None)
        parts = [
            pair.part(pair.changes[[pair.seeds.index(seed) for seed in seeds]]) for pair in pairs
        ]
        return Pilot(comparison, seeds, estimate(parts))
    scores = comparison.average_by_seed or (
        comparison.by_seed[0][1] if comparison.by_seed else None
    )
    if scores is None or len(scores.seeds) < 2:
        return Pilot(comparison, scores.seeds if scores else (), None)
    changes = (np.array(scores.second) - np.array(scores.first)) / 100
    variance = float(changes.var(ddof=1)) / len(changes)
    return Pilot(
        comparison,
        scores.seeds,
        Estimate(float(changes.mean()), 0.0, float("inf"), variance, len(changes) - 1),
    )
