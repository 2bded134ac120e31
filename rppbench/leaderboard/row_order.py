"""Order of a table's rows: best first, with marks on the best numbers and with mean ranks.

Numbers that print alike are equally good; incomplete ones are never best and have no rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rppbench.leaderboard.tables import Average, Column, Row, TableCell
from rppbench.records.record import lower_is_better
from rppbench.stats.ranks import Ranking, rank


def ordered(
    rows: Sequence[Row], columns: Sequence[Column], metric: str
) -> tuple[Ranking | None, list[Row]]:
    """The rows, best first by `metric`, with best numbers marked and ranks; and the ranking.

    The ranking is None where data sets or complete rows are too few (`rppbench.stats.ranks`).
    """
    lower = lower_is_better(metric)
    return _with_ranks(_with_best(_sorted(rows, lower), columns), lower)


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


def _with_ranks(rows: Sequence[Row], lower: bool) -> tuple[Ranking | None, list[Row]]:
    """Gives complete rows their mean rank over the data sets."""
    complete = [row for row in rows if row.average and row.average.is_complete]
    sign = -1 if lower else 1
    printed = [[sign * float(e.printed) for e in row.entries if e.printed] for row in complete]
    ranked = rank(printed)
    if ranked is None:
        return None, list(rows)
    ranking, ranks = ranked
    by_label = dict(zip((row.label for row in complete), ranks, strict=True))
    return ranking, [replace(row, rank=by_label.get(row.label)) for row in rows]
