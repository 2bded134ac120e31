"""Few-shot curves: one task's tables that differ only in the number of shots, side by side.

A curve becomes a table here (`ShotCurve.layout`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rppbench.leaderboard.tables import SHOTS_OPTION, NamedValues, Row, Table
from rppbench.reporting.layout import NO_NUMBER, CellText, Layout, headline_text

CAPTION = "By the number of training images per class; the numbers are those of the tables below."


@dataclass(frozen=True)
class ShotCurve:
    """Tables by their number of shots, and the rows that several of them have."""

    tables: Mapping[int, Table]
    """Table for each number of shots, ascending."""
    rows: Mapping[str, Mapping[int, Row]]
    """Rows by label and number of shots; best first, by the largest number that a row has."""

    @property
    def table(self) -> Table:
        """The table with the fewest shots, for what all have in common."""
        return next(iter(self.tables.values()))

    @property
    def differences(self) -> str:
        """The conditions that other curves of the task do not share: 'backbone: demo'; or ''."""
        pairs = (pair for pair in self.table.differences if pair[0] != SHOTS_OPTION)
        return ", ".join(f"{name}: {value}" for name, value in pairs)

    @property
    def layout(self) -> Layout:
        """The curve as a table with a column for each number of shots."""
        heads = ("Method", *(f"{n} shot{'s' if n > 1 else ''}" for n in self.tables))
        body = tuple(
            (
                CellText(label),
                *(headline_text(of[n]) if n in of else CellText(NO_NUMBER) for n in self.tables),
            )
            for label, of in self.rows.items()
        )
        return Layout(heads, 1, body)


def shot_curves(tables: Iterable[Table]) -> list[ShotCurve]:
    """A curve for each setting and list of data sets with tables for several numbers of shots."""
    settings: dict[tuple[str, NamedValues, tuple[str, ...]], dict[int, Table]] = {}
    for table in tables:
        if shots := table.requested_shots:
            others = tuple(pair for pair in table.setting if pair[0] != SHOTS_OPTION)
            settings.setdefault((table.task, others, table.datasets), {}).setdefault(shots, table)
    return [_curve(by_shots) for by_shots in settings.values() if len(by_shots) > 1]


def differ_in_shots_only(tables: Sequence[Table]) -> bool:
    """Whether all these tables belong to one curve."""
    return any(len(curve.tables) == len(tables) for curve in shot_curves(tables))


def _curve(by_shots: Mapping[int, Table]) -> ShotCurve:
    tables = dict(sorted(by_shots.items()))
    rows: dict[str, dict[int, Row]] = {}
    for shots, table in reversed(tables.items()):  # the table with most shots gives the order
        for row in table.rows:
            rows.setdefault(row.label, {})[shots] = row
    return ShotCurve(tables, {label: of for label, of in rows.items() if len(of) > 1})
