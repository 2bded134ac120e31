"""Two methods compared seed by seed: a paired t-test for metrics without outcomes of images.

Average precision and IoU are computed over all images together: no single image is right or wrong,
so only the spread between seeds shows how certain a difference is. The t distribution is in
`rppbench.stats.distributions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev

from rppbench.leaderboard.tables import Column
from rppbench.leaderboard.variants import Variant
from rppbench.stats.distributions import t_probability
from rppbench.stats.intervals import interval
from rppbench.stats.two_level import Difference


@dataclass(frozen=True)
class PairedScores:
    """Scores of two methods under the same seeds, in one column or on average over several."""

    seeds: tuple[int, ...]
    first: tuple[float, ...]
    """One score per seed, in the metric's unit (mostly percent)."""
    second: tuple[float, ...]
    """As `first`."""

    @cached_property
    def difference(self) -> Difference | None:
        """Second minus first; None where one seed, or equal differences, show no spread."""
        changes = [after - before for before, after in zip(self.first, self.second, strict=True)]
        if len(changes) < 2 or not stdev(changes):
            return None
        change = interval(changes)
        assert change.half_width is not None
        error = stdev(changes) / len(changes) ** 0.5
        p = 1 - t_probability(abs(change.mean) / error, len(changes) - 1)
        low, high = change.mean - change.half_width, change.mean + change.half_width
        return Difference(change.mean, low, high, p)


def pair_scores(column: Column, first: Variant, second: Variant) -> PairedScores | None:
    """The scores of a column under the seeds that both have; None without a common seed."""
    trained = [variant for variant in (first, second) if not variant.deterministic]
    rows = []
    for seed in sorted({seed for variant in trained or [first] for seed in variant.seeds}):
        records = [variant.record(column.dataset, seed) for variant in (first, second)]
        values = [s.value for r in records if r and (s := r.score(column.metric)) is not None]
        if len(values) == 2:
            rows.append((seed, *values))
    if not rows:
        return None
    seeds, before, after = zip(*rows, strict=True)
    return PairedScores(seeds, before, after)


def average_scores(pairs: Sequence[PairedScores]) -> PairedScores | None:
    """The mean over data sets, on the seeds that all of them have; None without such a seed."""
    common = set.intersection(*(set(pair.seeds) for pair in pairs)) if pairs else set()
    if not common:
        return None
    seeds = tuple(sorted(common))
    sides = [
        tuple(fmean(values[seed] for values in of_side) for seed in seeds)
        for of_side in (
            [dict(zip(pair.seeds, pair.first, strict=True)) for pair in pairs],
            [dict(zip(pair.seeds, pair.second, strict=True)) for pair in pairs],
        )
    ]
    return PairedScores(seeds, *sides)
