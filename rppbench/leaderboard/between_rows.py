"""What a table says about its rows together: tests, reference row, and the data set that dominates.

It needs no outcomes: the tests come from `statistics`, or from where they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from rppbench.leaderboard.kept import Statistics
from rppbench.leaderboard.row_order import with_ranks
from rppbench.leaderboard.tables import PairTest, Row, Table
from rppbench.records.record import lower_is_better
from rppbench.stats.p_values import holm

MIN_SETS = 3
"""With fewer data sets none is said to dominate."""
DOMINANT = 2.0
"""A data set dominates from so many times its equal share on."""


def with_statistics(table: Table, statistics: Statistics) -> Table:
    """The table with spreads, ranks, the differences from its reference, and averages without the
    data set that dominates."""
    rows = [_with_spreads(row, statistics) for row in table.rows]
    ranking, rows = with_ranks(rows, statistics.tests, lower_is_better(table.metric))
    reference = _reference(rows)
    rows = _against(rows, reference, statistics.tests)
    at, share = _dominating(rows)
    if at is not None:
        rows = [_without(row, at) for row in rows]
    return replace(
        table,
        rows=tuple(rows),
        ranking=ranking,
        units=tuple(statistics.units),
        reference=reference if any(row.against for row in rows) else "",
        dominating="" if at is None else table.columns[at].dataset_title,
        dominance=share,
    )


def _with_spreads(row: Row, statistics: Statistics) -> Row:
    spreads = statistics.spreads[row.label]
    entries = tuple(
        replace(entry, spread=spread) for entry, spread in zip(row.entries, spreads, strict=True)
    )
    average = row.average
    if average is not None and average.values:
        average = replace(average, spread=statistics.averages[row.label])
    return replace(row, entries=entries, average=average)


def _reference(rows: Sequence[Row]) -> str:
    """The complete row that learns nothing; of several, the one with the shortest label."""
    labels = [row.label for row in rows if row.deterministic and row.headline.is_complete]
    return min(labels, key=lambda label: (len(label), label), default="")


def _against(rows: Sequence[Row], reference: str, tests: Sequence[PairTest]) -> list[Row]:
    """Each row against the reference, with p-values corrected for the number of rows (Holm)."""
    own: dict[str, PairTest] = {}
    for test in tests:
        if test.second == reference:
            own[test.first] = replace(
                test, first=reference, second=test.first, mean=-test.mean or 0.0
            )
        elif test.first == reference:
            own[test.second] = test
    corrected = dict(zip(own, holm([test.p for test in own.values()]), strict=True))
    return [
        replace(row, against=replace(own[row.label], corrected=corrected[row.label]))
        if row.label in own
        else row
        for row in rows
    ]


def _dominating(rows: Sequence[Row]) -> tuple[int | None, float]:
    """The data set that has the largest share of the variance of the rows' averages, and the share.

    The shares of all data sets add up to 1. None for few data sets, equal averages, and where no
    share is `DOMINANT` times that of equal data sets.
    """
    complete = [row for row in rows if row.average and row.average.is_complete]
    sets = len(complete[0].entries) if complete else 0
    if len(complete) < 2 or sets < MIN_SETS:
        return None, 0.0
    values = [[entry.mean or 0.0 for entry in row.entries] for row in complete]
    averages = [fmean(row) for row in values]
    centre = fmean(averages)
    total = sum((average - centre) ** 2 for average in averages)
    if total < 1e-12:
        return None, 0.0
    shares = []
    for at in range(sets):
        column = [row[at] for row in values]
        mean = fmean(column)
        pairs = zip(column, averages, strict=True)
        shares.append(sum((value - mean) * (a - centre) for value, a in pairs) / (sets * total))
    at = max(range(sets), key=shares.__getitem__)
    return (at, shares[at]) if shares[at] * sets >= DOMINANT else (None, 0.0)


def _without(row: Row, at: int) -> Row:
    if row.average is None or not row.average.is_complete:
        return row
    return replace(
        row,
        without=fmean(e.mean for i, e in enumerate(row.entries) if i != at and e.mean is not None),
    )
