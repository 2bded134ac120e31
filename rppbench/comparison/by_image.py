"""Two methods compared image by image: paired outcomes, and the p-value of their difference.

The interval and the p-value are those of `rppbench.stats.two_level`, over images (or groups of
images) and seeds; under a single seed, a single data set of independent images has the p-value of
McNemar's exact test. Metrics without outcomes of single images: see `by_seed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.outcomes import (
    Outcomes,
    all_trained_on,
    outcomes_of,
    same_images,
    shared_groups,
)
from rppbench.leaderboard.tables import Column
from rppbench.leaderboard.variants import Variant
from rppbench.records.outcomes import IMAGE
from rppbench.stats.two_level import UNKNOWN, Difference, Part, Values, difference, exact_p


@dataclass(frozen=True)
class PairedOutcomes:
    """Outcomes of two methods in one column: s seeds, n images, the same for both methods."""

    column: Column
    seeds: tuple[int, ...]
    first: Values
    """[s, n]: 1 where the first method is right, else 0; fractions unless `counted`."""
    second: Values
    """[s, n], as `first`."""
    groups: NDArray[np.int64] | None = None
    """[n]: the number of each image's group; None if every image is on its own."""
    unit: str = IMAGE
    """What a group is."""
    counted: bool = True
    """Whether the outcomes say which images are right."""
    group_set: str = ""
    """Where it is equal in several columns, groups of one number are the same."""
    trained_on: frozenset[str] = UNKNOWN
    """`Cell.trained_on` of both methods."""

    @cached_property
    def changes(self) -> Values:
        """[s, n]: 1 where only the second method is right, -1 where only the first is, else 0."""
        return np.asarray(self.second - self.first)

    def part(self, changes: Values | None = None) -> Part:
        """The changes, or others of the same images, as the statistics take them."""
        extremes = (-1.0, 1.0) if self.counted else ()
        values = self.changes if changes is None else changes
        return Part(values, self.groups, extremes, self.group_set, trained_on=self.trained_on)

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

    @property
    def exact(self) -> bool:
        """Whether McNemar's exact test applies: one seed, independent images."""
        return exact_p([self.part()]) is not None

    @cached_property
    def difference(self) -> Difference:
        """Second minus first, in percentage points; with McNemar's p where it applies."""
        parts = [self.part()]
        result, exact = difference(parts), exact_p(parts)
        return result if exact is None else replace(result, p=exact)


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
    common = on_common_seeds(pairs)
    if not common:
        return None
    means = [
        float(np.mean([right.mean() for right in side]))
        for side in ([p.first for p in common], [p.second for p in common])
    ]
    # The pair's own difference uses McNemar's test where there is a single seed.
    one = pairs[0].difference if len(pairs) == 1 else difference([p.part() for p in common])
    return Overall(common[0].seeds, 100 * means[0], 100 * means[1], one)


def on_common_seeds(pairs: Sequence[PairedOutcomes]) -> list[PairedOutcomes]:
    """The pairs with the seeds that all of them have, ascending; [] without such a seed."""
    seeds = sorted(set.intersection(*(set(pair.seeds) for pair in pairs))) if pairs else []
    rows = [[pair.seeds.index(seed) for seed in seeds] for pair in pairs]
    return [
        replace(pair, seeds=tuple(seeds), first=pair.first[at], second=pair.second[at])
        for pair, at in zip(pairs, rows, strict=True)
        if seeds
    ]


def pair_outcomes(
    column: Column, first: Variant, second: Variant
) -> tuple[PairedOutcomes | None, list[str]]:
    """The outcomes of a column under the seeds that both have, and why other seeds are left out.

    None if no seed can be paired. A deterministic variant is paired with every seed of the other.
    """
    trained = [variant for variant in (first, second) if not variant.deterministic]
    seeds = sorted({seed for variant in trained or [first] for seed in variant.seeds})
    rows: dict[int, list[Outcomes]] = {}
    gaps: list[tuple[str, int]] = []
    for seed in seeds:
        read = [_outcomes(variant, column, seed) for variant in (first, second)]
        known = [of_one for of_one in read if not isinstance(of_one, str)]
        if len(known) < 2:
            reasons = dict.fromkeys(reason for reason in read if isinstance(reason, str))
            gaps += [(reason, seed) for reason in reasons]
            continue
        earlier = [of_one for row in rows.values() for of_one in row]
        others = (same_images(one, known[1]) for one in (known[0], *earlier))
        if other := next(filter(None, others), ""):
            gaps.append((other, seed))
        else:
            rows[seed] = known
    unpaired = [
        f"seed {', '.join(str(seed) for _, seed in of_one)}: {reason}"
        for reason, of_one in group_by(gaps, lambda gap: gap[0]).items()
    ]
    if not rows:
        return None, unpaired
    every = [of_one for row in rows.values() for of_one in row]
    groups, unit, named = shared_groups(every)
    before, after = (np.stack([row[side].values for row in rows.values()]) for side in (0, 1))
    counted = all(of_one.counted for of_one in every)
    sources = all_trained_on(every)
    pair = PairedOutcomes(column, tuple(rows), before, after, groups, unit, counted, named, sources)
    return pair, unpaired


def _outcomes(variant: Variant, column: Column, seed: int) -> Outcomes | str:
    """The outcomes of a variant; or, as text, why they are missing."""
    record = variant.record(column.dataset, seed)
    if record is None or record.score(column.metric) is None:
        return f"no number of {variant.label}"
    return outcomes_of(record, column.metric)
