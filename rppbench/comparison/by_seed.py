"""Two methods by their numbers under the same seeds, where nothing is kept image by image.

Average precision and IoU are of all images together: no image is right or wrong by itself, so what
differs between seeds is all that tells how sure a difference is (paired t-test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev

from rppbench.leaderboard.tables import Column
from rppbench.leaderboard.variants import Variant
from rppbench.stats.bootstrap import Difference
from rppbench.stats.distributions import t_probability
from rppbench.stats.intervals import interval


@dataclass(frozen=True)
class BySeed:
    """Both methods on one column, or on the average of several."""

    seeds: tuple[int, ...]
    first: tuple[float, ...]
    """Of each seed, in percent."""
    second: tuple[float, ...]

    @cached_property
    def difference(self) -> Difference | None:
        """None where one seed, or seeds that all differ alike, say nothing of the spread."""
        changes = [after - before for before, after in zip(self.first, self.second, strict=True)]
        if len(changes) < 2 or not stdev(changes):
            return None
        found = interval(changes)
        assert found.half_width is not None
        error = stdev(changes) / len(changes) ** 0.5
        p = 1 - t_probability(abs(found.mean) / error, len(changes) - 1)
        low, high = found.mean - found.half_width, found.mean + found.half_width
        return Difference(found.mean, low, high, p)


def by_seed(column: Column, first: Variant, second: Variant) -> BySeed | None:
    """What both have of a column under the same seeds; None if there is nothing."""
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
    return BySeed(seeds, before, after)


def average(parts: Sequence[BySeed]) -> BySeed | None:
    """The mean over data sets, on the seeds that all of them have; None if there are none."""
    common = set.intersection(*(set(part.seeds) for part in parts)) if parts else set()
    if not common:
        return None
    seeds = tuple(sorted(common))
    sides = [
        tuple(fmean(values[s] for values in of_side) for s in seeds)
        for of_side in (
            [dict(zip(part.seeds, part.first, strict=True)) for part in parts],
            [dict(zip(part.seeds, part.second, strict=True)) for part in parts],
        )
    ]
    return BySeed(seeds, *sides)
