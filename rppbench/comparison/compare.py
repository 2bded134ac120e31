"""Comparison of two rows of a leaderboard: differences, intervals, p-values, and what is left out.

The p-value of each column comes from `by_image` or, for metrics without outcomes of images, from
`by_seed` (t-test). It is corrected for the number of columns (Holm). Only records that may share a
column of a leaderboard are compared, seed by seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from rppbench.comparison.by_image import Overall, PairedOutcomes, overall, pair_outcomes
from rppbench.comparison.by_seed import PairedScores, average_scores, pair_scores
from rppbench.comparison.row_names import matches, select, spelling
from rppbench.errors import UsageError, unknown
from rppbench.leaderboard.build import build_with_variants
from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.kept import Without
from rppbench.leaderboard.tables import Column, Table
from rppbench.leaderboard.variants import Variant
from rppbench.records.record import Record
from rppbench.stats.p_values import holm


@dataclass(frozen=True)
class Comparison:
    """Comparison of two rows of one table; differences are second minus first."""

    table: Table
    """The table with these two rows only, in the order of the comparison."""
    first: Variant
    second: Variant
    pairs: tuple[PairedOutcomes, ...]
    """One for each column with outcomes of both rows."""
    left_out: tuple[tuple[str, tuple[str, ...]], ...]
    """(reason, headings of the columns that are left out for it)"""
    by_seed: tuple[tuple[Column, PairedScores], ...] = ()
    """Used instead of `pairs` if no column has outcomes; else ()."""

    @cached_property
    def corrected(self) -> tuple[float, ...]:
        """The p-value of each pair, corrected for the number of pairs (Holm)."""
        return tuple(holm([pair.difference.p for pair in self.pairs]))

    @cached_property
    def overall(self) -> Overall | None:
        """The average over data sets; None for a single data set or without a common seed."""
        return None if self.table.by_metric or len(self.pairs) < 2 else overall(self.pairs)

    @cached_property
    def corrected_by_seed(self) -> tuple[float | None, ...]:
        """As `corrected`, for `by_seed`; None for a column without a spread over seeds."""
        differences = [scores.difference for _, scores in self.by_seed]
        corrected = iter(holm([difference.p for difference in differences if difference]))
        return tuple(next(corrected) if difference else None for difference in differences)

    @cached_property
    def average_by_seed(self) -> PairedScores | None:
        """As `overall`, for `by_seed`."""
        several = len(self.by_seed) > 1 and not self.table.by_metric
        return average_scores([scores for _, scores in self.by_seed]) if several else None


def compare(
    records: Iterable[Record],
    first: str,
    second: str,
    task: str | None = None,
    metric: str | None = None,
) -> tuple[list[Comparison], list[str]]:
    """A comparison for every table that has both rows, and remarks on tables that have only one.

    A row is named by its label or as the command line spells its method: 'rpp:kd=off'. Raises
    UsageError for a name that matches no row or several, and if nothing can be compared.
    """
    tables = build_with_variants(records, task, metric, kept=Without())
    variants = [variant for built in tables for variant in built.variants]
    for text in (first, second):
        if not any(matches(variant, text) for variant in variants):
            names = {name for v in variants for name in (v.label, spelling(v))}
            raise unknown("row is named", text, names, "rows")
    comparisons, remarks = [], []
    for built in tables:
        sides = [select(built.variants, text) for text in (first, second)]
        present = [variant for variant in sides if variant is not None]
        if len(present) == 2:
            if present[0] == present[1]:
                raise UsageError(f"{first!r} and {second!r} are the same row: {present[0].label}")
            comparisons.append(between(built.table, *present))
        elif present:
            remarks.append(f"only {present[0].label} was measured in {_heading(built.table)}")
    if not any(comparison.pairs or comparison.by_seed for comparison in comparisons):
        remarks += [
            f"{', '.join(headings)}: {why}" for c in comparisons for why, headings in c.left_out
        ]
        raise UsageError("\n".join([f"{first!r} and {second!r} cannot be compared", *remarks]))
    return comparisons, remarks


def _heading(table: Table) -> str:
    differences = ", ".join(f"{name}: {value}" for name, value in table.differences)
    return f"{table.title} ({differences})" if differences else table.title


def between(table: Table, first: Variant, second: Variant) -> Comparison:
    """The comparison of two rows of a table."""
    pairs: list[PairedOutcomes] = []
    gaps: list[tuple[str, str]] = []
    for column in table.columns:
        pair, reasons = pair_outcomes(column, first, second)
        pairs += [pair] if pair else []
        gaps += [(reason, table.heading(column)) for reason in reasons]
    scores = [] if pairs else [(c, pair_scores(c, first, second)) for c in table.columns]
    left_out = group_by(gaps, lambda gap: gap[0]).items()
    labels = (first.label, second.label)
    rows = sorted((r for r in table.rows if r.label in labels), key=lambda r: labels.index(r.label))
    return Comparison(
        replace(table, rows=tuple(rows)),
        first,
        second,
        tuple(pairs),
        tuple((reason, tuple(heading for _, heading in of_one)) for reason, of_one in left_out),
        tuple((column, paired) for column, paired in scores if paired),
    )
