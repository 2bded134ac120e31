"""Intervals of a table's numbers, and the tests between its rows, from outcomes of images.

Imported only where a table's statistics are not kept from before (`kept`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

import numpy as np

from rppbench.leaderboard.kept import Statistics
from rppbench.leaderboard.outcomes import (
    Outcomes,
    all_trained_on,
    outcomes_of,
    same_images,
    shared_groups,
)
from rppbench.leaderboard.tables import Column, PairTest, Spread
from rppbench.leaderboard.variants import Variant
from rppbench.stats.p_values import holm
from rppbench.stats.two_level import Part, estimate, estimate_over_seeds, exact_p

T = TypeVar("T")
Read = dict[int, Outcomes]
"""Outcomes of one variant in one column, by seed."""


@dataclass(frozen=True)
class _Side:
    """A variant with its outcomes or, where these are not kept, its values."""

    variant: Variant
    outcomes: tuple[Read, ...]
    """One for each column."""
    values: tuple[dict[int, float], ...]
    """Scores by seed, one for each column."""


def statistics(variants: Sequence[Variant], columns: Sequence[Column], average: bool) -> Statistics:
    """Spreads of all numbers, and a test for each pair of complete rows.

    `average` says that the columns are data sets, which are averaged; otherwise rows are compared
    by the first column alone.
    """
    sides = [_side(variant, columns) for variant in variants]
    spreads: dict[str, list[Spread | None]] = {}
    averages: dict[str, Spread | None] = {}
    for side in sides:
        label = side.variant.label
        spreads[label] = [_spread([read], [values]) for read, values in _columns(side)]
        averages[label] = _spread(side.outcomes, side.values) if average else None
    count = len(columns) if average else 1
    complete = [side for side in sides if all(_complete(side, at) for at in range(count))]
    tests = [test for a, b in combinations(complete, 2) if (test := _test(a, b, count))]
    corrected = holm([test.p for test in tests])
    return Statistics(
        spreads,
        averages,
        [replace(test, corrected=p) for test, p in zip(tests, corrected, strict=True)],
        sorted({one.unit for side in sides for read in side.outcomes for one in read.values()}),
    )


def _side(variant: Variant, columns: Sequence[Column]) -> _Side:
    outcomes, values = [], []
    for column in columns:
        records = {seed: variant.record(column.dataset, seed) for seed in variant.seeds}
        read = {seed: outcomes_of(record, column.metric) for seed, record in records.items()}
        outcomes.append({seed: one for seed, one in read.items() if not isinstance(one, str)})
        scores = {seed: r.score(column.metric) for seed, r in records.items() if r is not None}
        values.append({seed: score.value / 100 for seed, score in scores.items() if score})
    return _Side(variant, tuple(outcomes), tuple(values))


def _columns(side: _Side) -> list[tuple[Read, dict[int, float]]]:
    return list(zip(side.outcomes, side.values, strict=True))


def _complete(side: _Side, at: int) -> bool:
    return len(side.values[at]) == len(side.variant.seeds)


def _spread(reads: Sequence[Read], values: Sequence[dict[int, float]]) -> Spread | None:
    """The half width of the mean over columns, over the seeds that all of them have."""
    seeds = sorted(set.intersection(*(set(of_seed) for of_seed in values)))
    if not seeds:
        return None
    if all(set(seeds) <= set(read) for read in reads):
        parts = []
        for read in reads:
            own = [read[seed] for seed in seeds]
            if any(same_images(own[0], one) for one in own[1:]):
                return None
            stacked = np.stack([one.values for one in own])
            groups, unit, named = shared_groups(own)
            known = len({len(one.extremes) for one in own}) == 1
            extremes = tuple(np.mean([one.extremes for one in own], axis=0)) if known else ()
            together = replace(
                own[0],
                values=stacked,
                groups=groups,
                unit=unit,
                group_set=named,
                extremes=extremes,
                trained_on=all_trained_on(own),
            )
            parts.append(together.part)
        units = sorted({read[seed].unit for read in reads for seed in seeds})
        half = estimate(parts).half_width()
        return Spread(100 * half, (*(["seed"] if len(seeds) > 1 else []), *units))
    if len(seeds) == 1:
        return None
    by_seed = np.array([[of_seed[seed] for seed in seeds] for of_seed in values]).mean(axis=0)
    return Spread(100 * estimate_over_seeds(by_seed).half_width(), ("seed",))


def _test(first: _Side, second: _Side, count: int) -> PairTest | None:
    """Second minus first over `count` columns; None where nothing says how certain it is."""
    trained = [side.variant for side in (first, second) if not side.variant.deterministic]
    seeds = sorted(set.intersection(*(set(v.seeds) for v in trained or [first.variant])))
    if not seeds:
        return None
    parts: list[Part] = []
    for at in range(count):
        pairs = [tuple(_at(side, side.outcomes[at], s) for side in (first, second)) for s in seeds]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if len(known) < len(pairs) or any(same_images(a, b) for a, b in known):
            break
        if any(same_images(known[0][0], a) for a, _ in known):
            break
        changes = np.stack([b.values - a.values for a, b in known])
        every = [one for pair in known for one in pair]
        groups, _, named = shared_groups(every)
        extremes = (-1.0, 1.0) if known[0][0].counted else ()
        parts.append(Part(changes, groups, extremes, named, trained_on=all_trained_on(every)))
    if len(parts) == count:
        result = estimate(parts)
        exact = exact_p(parts)
    else:
        before, after = (
            np.array([[_at(side, side.values[at], s) for s in seeds] for at in range(count)], float)
            for side in (first, second)
        )
        changes = (after - before).mean(axis=0)
        if len(seeds) == 1 or changes.std() < 1e-12:
            return None
        result, exact = estimate_over_seeds(changes), None
    p = result.p() if exact is None else exact
    labels = (first.variant.label, second.variant.label)
    shared = len(seeds) if trained else 0
    return PairTest(*labels, 100 * result.mean, 100 * result.half_width(), p, 1.0, shared)


def _at(side: _Side, by_seed: dict[int, T], seed: int) -> T | None:
    """What a variant has under a seed; where nothing is random, what it has under any seed."""
    return by_seed.get(side.variant.seeds[0] if side.variant.deterministic else seed)
