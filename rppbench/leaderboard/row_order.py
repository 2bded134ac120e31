"""Order of a table's rows: best first, with marks on the best numbers and with mean ranks.

Ranks follow the exact counts. The best number of a column is bold, with all that print alike;
incomplete ones are never best and have no rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rppbench.leaderboard.tables import Average, Column, PairTest, Row, TableCell
from rppbench.records.record import lower_is_better
from rppbench.stats.ranks import (
    LEVEL,
    MIN_DATASETS,
    MIN_ROWS,
    Rank,
    Ranking,
    letters,
    mean_ranks,
)


def ordered(rows: Sequence[Row], columns: Sequence[Column], metric: str) -> list[Row]:
    """The rows, best first by `metric`, with best numbers marked."""
    return _with_best(_sorted(rows, lower_is_better(metric)), columns)


def _sorted(rows: Sequence[Row], lower: bool) -> list[Row]:
    """Best first; rows with gaps after the complete ones, rows without any number last."""

    def key(row: Row) -> tuple[bool, bool, float, str]:
        mean = row.headline.mean
        value = mean or 0.0
        return (mean is None, not row.headline.is_complete, value if lower else -value, row.label)

    return sorted(rows, key=key)


def _with_best(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Marks the best complete numbers of every column and of the averages."""
    if len(rows) < 2:
        return list(rows)
    for index, column in enumerate(columns):
        best = _best_printed([row.entries[index] for row in rows], column.metric)
        rows = [
            replace(
                row,
                entries=tuple(
                    replace(e, best=e.printed == best) if i == index and e.is_complete else e
                    for i, e in enumerate(row.entries)
                ),
            )
            for row in rows
        ]
    best = _best_printed([row.average for row in rows if row.average], columns[0].metric)
    return [
        replace(row, average=replace(row.average, best=row.average.printed == best))
        if row.average and row.average.is_complete
        else row
        for row in rows
    ]


def _best_printed(numbers: Sequence[TableCell | Average], metric: str) -> str | None:
    complete = [n.printed for n in numbers if n.is_complete and n.printed is not None]
    best = min if lower_is_better(metric) else max
    return best(complete, key=float, default=None)


def with_ranks(
    rows: Sequence[Row], tests: Sequence[PairTest], lower: bool
) -> tuple[Ranking | None, list[Row]]:
    """Gives complete rows their mean rank over the data sets, and letters by the `tests` of their
    averages; `lower` says that less is better.

    The ranking is None, and no row has a rank, where data sets or complete rows are too few.
    """
    complete = [row for row in rows if row.average and row.average.is_complete]
    sets = len(rows[0].entries) if rows else 0
    if len(complete) < MIN_ROWS or sets < MIN_DATASETS:
        return None, list(rows)
    sign = -1 if lower else 1
    # Means of equal counts may differ in the last digits; those of different counts differ more.
    exact = [
        [sign * round(e.mean, 9) for e in row.entries if e.mean is not None] for row in complete
    ]
    places = {row.label: place for place, row in enumerate(complete)}
    apart = {(places[test.first], places[test.second]) for test in tests if test.corrected < LEVEL}
    names = letters(len(complete), apart)
    ranks = {
        row.label: Rank(mean, groups)
        for row, mean, groups in zip(complete, mean_ranks(exact), names, strict=True)
    }
    pairs, single = len(complete) * (len(complete) - 1) // 2, sum(test.seeds == 1 for test in tests)
    ranking = Ranking(sets, pairs, len(tests), len(apart), single)
    return ranking, [replace(row, rank=ranks.get(row.label)) for row in rows]
