"""Two methods compared image by image: paired outcomes, and the p-value of their difference.

The interval and the p-value are a paired bootstrap over images with Student's t over seeds; under
a single seed, a single data set's p-value is that of McNemar's exact test. Both tests are in
`rppbench.stats.bootstrap`. Metrics without outcomes of single images: see `by_seed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.tables import Column
from rppbench.leaderboard.variants import Variant
from rppbench.records.record import Score
from rppbench.stats.bootstrap import Difference, difference
from rppbench.stats.p_values import mcnemar

NOT_KEPT = "is not kept image by image"
"""Part of the reason why a metric without outcomes has no pair."""


@dataclass(frozen=True)
class PairedOutcomes:
    """Outcomes of two methods in one column: s seeds, n images, the same for both methods."""

    column: Column
    seeds: tuple[int, ...]
    first: NDArray[np.int8]
    """[s, n]: 1 where the first method is right, else 0."""
    second: NDArray[np.int8]
    """[s, n], as `first`."""

    @cached_property
    def changes(self) -> NDArray[np.int8]:
        """[s, n]: 1 where only the second method is right, -1 where only the first is, else 0."""
        return self.second - self.first

    @property
    def images(self) -> int:
        """Number of images, n."""
        return self.first.shape[1]

    @property
    def gained(self) -> int:
        """Number of (seed, image) pairs that only the second method has right."""
        return int((self.changes > 0).sum())

    @property
    def lost(self) -> int:
        """Number of (seed, image) pairs that only the first method has right."""
        return int((self.changes < 0).sum())

    @cached_property
    def difference(self) -> Difference:
        """Second minus first, in percentage points; under one seed with McNemar's exact p."""
        bootstrap = difference([self.changes])
        if len(self.seeds) > 1:
            return bootstrap
        p = mcnemar(self.gained, self.lost)
        return Difference(bootstrap.mean, bootstrap.low, bootstrap.high, p)


@dataclass(frozen=True)
class Overall:
    """Difference of two methods on average over the data sets, on the seeds that all of them have.

    `first` and `second` are the methods' means, in percent.
    """

    seeds: tuple[int, ...]
    first: float
    second: float
    difference: Difference
    by_seed: bool = False
    """Whether it is a t-test over seeds alone, because no outcomes of images are kept."""


def overall(pairs: Sequence[PairedOutcomes]) -> Overall | None:
    """The average over pairs of one metric on several data sets; None without a common seed."""
    seeds = sorted(set.intersection(*(set(pair.seeds) for pair in pairs))) if pairs else []
    if not seeds:
        return None
    kept = [[pair.seeds.index(seed) for seed in seeds] for pair in pairs]
    means = [
        float(np.mean([of_pair[rows].mean() for of_pair, rows in zip(side, kept, strict=True)]))
        for side in ([p.first for p in pairs], [p.second for p in pairs])
    ]
    changes = [pair.changes[rows] for pair, rows in zip(pairs, kept, strict=True)]
    # The pair's own difference uses McNemar's test where there is a single seed.
    mean_difference = pairs[0].difference if len(pairs) == 1 else difference(changes)
    return Overall(tuple(seeds), 100 * means[0], 100 * means[1], mean_difference)


def pair_outcomes(
    column: Column, first: Variant, second: Variant
) -> tuple[PairedOutcomes | None, list[str]]:
    """The outcomes of a column under the seeds that both have, and why other seeds are left out.

    None if no seed can be paired. A deterministic variant is paired with every seed of the other.
    """
    trained = [variant for variant in (first, second) if not variant.deterministic]
    seeds = sorted({seed for variant in trained or [first] for seed in variant.seeds})
    rows: dict[int, list[list[bool]]] = {}
    gaps: list[tuple[str, int]] = []
    for seed in seeds:
        outcomes = [_outcomes(variant, column, seed) for variant in (first, second)]
        right = [of_one for of_one in outcomes if not isinstance(of_one, str)]
        if len(right) < 2:
            reasons = dict.fromkeys(reason for reason in outcomes if isinstance(reason, str))
            gaps += [(reason, seed) for reason in reasons]
        elif len(right[0]) != len(right[1]):
            gaps.append((f"{len(right[0])} images against {len(right[1])}", seed))
        else:
            rows[seed] = right
    unpaired = [
        f"seed {', '.join(str(seed) for _, seed in of_one)}: {reason}"
        for reason, of_one in group_by(gaps, lambda gap: gap[0]).items()
    ]
    if not rows:
        return None, unpaired
    sides = [np.array([row[side] for row in rows.values()], dtype=np.int8) for side in (0, 1)]
    return PairedOutcomes(column, tuple(rows), sides[0], sides[1]), unpaired


def _outcomes(variant: Variant, column: Column, seed: int) -> list[bool] | str:
    """For each image, whether it is right; or, as text, why outcomes are missing."""
    record = variant.record(column.dataset, seed)
    score: Score | None = record.score(column.metric) if record else None
    if score is None:
        return f"no number of {variant.label}"
    try:
        outcomes = score.outcomes()
    except ValueError as error:
        return f"{column.metric} cannot be read image by image: {error}"
    if outcomes is None:
        return f"{column.metric} {NOT_KEPT}"
    return outcomes
