"""Two methods, image by image: how much better, how sure, and where.

Only records that may stand in one column of a leaderboard are compared, seed by seed; whatever
has no counterpart is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rppbench.comparison.by_seed import BySeed, average, by_seed
from rppbench.errors import UsageError, unknown
from rppbench.leaderboard.build import parts
from rppbench.leaderboard.tables import Column, Table
from rppbench.leaderboard.variants import Variant, grouped
from rppbench.plugins.options import parse_value
from rppbench.records.cell import Option
from rppbench.records.outcomes import unpack_outcomes
from rppbench.records.record import Record, Score
from rppbench.stats.bootstrap import Difference, difference
from rppbench.stats.p_values import holm, mcnemar

NOT_KEPT = "is not kept image by image"


@dataclass(frozen=True)
class Pair:
    """Both methods on one column of the table."""

    column: Column
    seeds: tuple[int, ...]
    first: NDArray[np.int8]
    """(s, n): 1 where the first method is right."""
    second: NDArray[np.int8]

    @cached_property
    def changes(self) -> NDArray[np.int8]:
        return self.second - self.first

    @property
    def images(self) -> int:
        return self.first.shape[1]

    @property
    def gained(self) -> int:
        """Images that only the second method has right, counted once a seed."""
        return int((self.changes > 0).sum())

    @property
    def lost(self) -> int:
        return int((self.changes < 0).sum())

    @cached_property
    def difference(self) -> Difference:
        """Of one seed the p is McNemar's, which is exact."""
        found = difference([self.changes])
        if len(self.seeds) > 1:
            return found
        return Difference(found.mean, found.low, found.high, mcnemar(self.gained, self.lost))


@dataclass(frozen=True)
class Overall:
    """The mean over data sets, on the seeds that all of them have."""

    seeds: tuple[int, ...]
    first: float
    second: float
    difference: Difference
    by_seed: bool = False
    """Whether it rests on seeds alone, for want of outcomes of images."""


@dataclass(frozen=True)
class Comparison:
    """Two rows of one table."""

    table: Table
    """With these two rows alone, the first one first."""
    first: Variant
    second: Variant
    pairs: tuple[Pair, ...]
    left_out: tuple[tuple[str, tuple[str, ...]], ...]
    """(why, headings of columns)"""
    by_seed: tuple[tuple[Column, BySeed], ...] = ()
    """Instead of pairs, where no column is kept image by image."""

    @cached_property
    def corrected(self) -> tuple[float, ...]:
        """The p-value of each pair, corrected for there being several (Holm)."""
        return tuple(holm([pair.difference.p for pair in self.pairs]))

    @cached_property
    def overall(self) -> Overall | None:
        """None for a single data set and where no seed is everywhere."""
        return None if self.table.by_metric or len(self.pairs) < 2 else overall(self.pairs)

    @cached_property
    def corrected_by_seed(self) -> tuple[float | None, ...]:
        """As `corrected`; None where there is no spread."""
        spreads = [found.difference for _, found in self.by_seed]
        raised = iter(holm([spread.p for spread in spreads if spread]))
        return tuple(next(raised) if spread else None for spread in spreads)

    @cached_property
    def average_by_seed(self) -> BySeed | None:
        """As `overall`, of what is known by seed only."""
        several = len(self.by_seed) > 1 and not self.table.by_metric
        return average([found for _, found in self.by_seed]) if several else None


def compare(
    records: Iterable[Record],
    first: str,
    second: str,
    task: str | None = None,
    metric: str | None = None,
) -> tuple[list[Comparison], list[str]]:
    """Every table in which both methods stand, and remarks on those where only one does.

    A method is named by its row's label or as the command line spells it: 'rpp:kd=off'. Raises
    UsageError for a name that fits no row or several, and where nothing can be compared.
    """
    tables = parts(records, task, metric)
    everyone = [variant for part in tables for variant in part.variants]
    for text in (first, second):
        if not any(fits(variant, text) for variant in everyone):
            names = {name for e in everyone for name in (e.label, spelling(e))}
            raise unknown("row is named", text, names, "rows")
    found, remarks = [], []
    for part in tables:
        sides = [_only(part.variants, text) for text in (first, second)]
        present = [variant for variant in sides if variant is not None]
        if len(present) == 2:
            if present[0] == present[1]:
                raise UsageError(f"{first!r} and {second!r} are the same row: {present[0].label}")
            found.append(_comparison(part.table, *present))
        elif present:
            remarks.append(f"only {present[0].label} was measured in {_describe(part.table)}")
    if not any(comparison.pairs or comparison.by_seed for comparison in found):
        remarks += [f"{', '.join(headings)}: {why}" for c in found for why, headings in c.left_out]
        raise UsageError("\n".join([f"{first!r} and {second!r} cannot be compared", *remarks]))
    return found, remarks


def overall(pairs: Sequence[Pair]) -> Overall | None:
    """The mean over pairs of one metric on several data sets; None where no seed is everywhere."""
    seeds = sorted(set.intersection(*(set(pair.seeds) for pair in pairs))) if pairs else []
    if not seeds:
        return None
    kept = [[pair.seeds.index(seed) for seed in seeds] for pair in pairs]
    means = [
        float(np.mean([of_pair[rows].mean() for of_pair, rows in zip(side, kept, strict=True)]))
        for side in ([p.first for p in pairs], [p.second for p in pairs])
    ]
    changes = [pair.changes[rows] for pair, rows in zip(pairs, kept, strict=True)]
    # A single data set has a p of its own kind.
    found = pairs[0].difference if len(pairs) == 1 else difference(changes)
    return Overall(tuple(seeds), 100 * means[0], 100 * means[1], found)


def spelling(variant: Variant) -> str:
    """The method as the command line takes it: 'rpp:kd=off,length=8'."""
    changed = variant.newest.labels.get("method_options", "").replace(", ", ",")
    name = variant.newest.cell.method.name
    return f"{name}:{changed}" if changed else name


def _describe(table: Table) -> str:
    differences = ", ".join(f"{name}: {value}" for name, value in table.differences)
    return f"{table.title} ({differences})" if differences else table.title


def _only(variants: Sequence[Variant], text: str) -> Variant | None:
    exact = [variant for variant in variants if variant.label == text]
    fitting = exact or [variant for variant in variants if fits(variant, text)]
    if len(fitting) > 1:
        labels = [f"  {variant.label}" for variant in fitting]
        raise UsageError("\n".join([f"{text!r} may be any of these; write one of them:", *labels]))
    return fitting[0] if fitting else None


def fits(variant: Variant, text: str) -> bool:
    """Whether it has the options that are named, and otherwise nothing but defaults."""
    if variant.label == text:
        return True
    name, _, tail = text.partition(":")
    method = variant.newest.cell.method
    if name.strip() != method.name:
        return False
    options = dict(method.options)
    said = [part.partition("=") for part in filter(None, tail.split(","))]
    named = {key.strip().replace("-", "_"): value.strip() for key, _, value in said}
    _, _, changed = spelling(variant).partition(":")
    other = {part.partition("=")[0] for part in changed.split(",") if part} - set(named)
    return not other and all(
        key in options and _same(key, value, options[key]) for key, value in named.items()
    )


def _same(name: str, text: str, value: Option) -> bool:
    try:
        return parse_value(name, text, value) == value
    except UsageError:  # a number was expected, say: no row has that
        return False


def _comparison(table: Table, first: Variant, second: Variant) -> Comparison:
    pairs: list[Pair] = []
    gaps: list[tuple[str, str]] = []
    for column in table.columns:
        pair, reasons = pair_up(column, first, second)
        pairs += [pair] if pair else []
        gaps += [(reason, table.heading(column)) for reason in reasons]
    known = [] if pairs else [(column, by_seed(column, first, second)) for column in table.columns]
    left_out = grouped(gaps, lambda gap: gap[0]).items()
    labels = (first.label, second.label)
    rows = sorted((r for r in table.rows if r.label in labels), key=lambda r: labels.index(r.label))
    return Comparison(
        replace(table, rows=tuple(rows)),
        first,
        second,
        tuple(pairs),
        tuple((reason, tuple(heading for _, heading in of_one)) for reason, of_one in left_out),
        tuple((column, numbers) for column, numbers in known if numbers),
    )


def pair_up(column: Column, first: Variant, second: Variant) -> tuple[Pair | None, list[str]]:
    """What both have of a column, and why the rest is not there."""
    trained = [variant for variant in (first, second) if not variant.deterministic]
    seeds = sorted({seed for variant in trained or [first] for seed in variant.seeds})
    rows: dict[int, list[list[bool]]] = {}
    gaps: list[tuple[str, int]] = []
    for seed in seeds:
        found = [_outcomes(variant, column, seed) for variant in (first, second)]
        right = [outcomes for outcomes in found if not isinstance(outcomes, str)]
        if len(right) < 2:
            reasons = dict.fromkeys(reason for reason in found if isinstance(reason, str))
            gaps += [(reason, seed) for reason in reasons]
        elif len(right[0]) != len(right[1]):
            gaps.append((f"{len(right[0])} images against {len(right[1])}", seed))
        else:
            rows[seed] = right
    told = [
        f"seed {', '.join(str(seed) for _, seed in of_one)}: {reason}"
        for reason, of_one in grouped(gaps, lambda gap: gap[0]).items()
    ]
    if not rows:
        return None, told
    sides = [np.array([row[side] for row in rows.values()], dtype=np.int8) for side in (0, 1)]
    return Pair(column, tuple(rows), sides[0], sides[1]), told


def _outcomes(variant: Variant, column: Column, seed: int) -> list[bool] | str:
    """Image by image whether it is right, or why that is not known."""
    record = variant.record(column.dataset, seed)
    score: Score | None = record.score(column.metric) if record else None
    if score is None:
        return f"no number of {variant.label}"
    if score.outcomes is None or score.total is None:
        return f"{column.metric} {NOT_KEPT}"
    return unpack_outcomes(score.outcomes, score.total)
