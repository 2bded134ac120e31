"""Tables of one task that differ in the number of shots alone, read across: the few-shot curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rppbench.leaderboard.tables import OPTION, NamedValues, Row, Table, asked
from rppbench.reporting.layout import NOTHING, Layout, Shown, whole

TOLD = "By the number of images a class; the numbers are those of the tables below."


@dataclass(frozen=True)
class Across:
    """Tables by their number of shots, and the rows that several of them have."""

    tables: Mapping[int, Table]
    """Ascending."""
    rows: Mapping[str, Mapping[int, Row]]
    """By label and number; best first, by the largest number of shots that a row has."""

    @property
    def table(self) -> Table:
        """The one with the fewest shots, for what all have in common."""
        return next(iter(self.tables.values()))

    @property
    def differences(self) -> str:
        """What tells it from other curves of the task: 'backbone: demo'; mostly nothing."""
        facts = (fact for fact in self.table.differences if fact[0] != OPTION)
        return ", ".join(f"{name}: {value}" for name, value in facts)

    @property
    def layout(self) -> Layout:
        """A column for each number of shots."""
        heads = ("Method", *(f"{n} shot{'s' if n > 1 else ''}" for n in self.tables))
        body = tuple(
            (Shown(label), *(whole(of[n]) if n in of else Shown(NOTHING) for n in self.tables))
            for label, of in self.rows.items()
        )
        return Layout(heads, 1, body)


def across(tables: Iterable[Table]) -> list[Across]:
    """One for each setting of which there are tables for several numbers of shots."""
    settings: dict[tuple[str, NamedValues], dict[int, Table]] = {}
    for table in tables:
        if shots := asked(table):
            rest = tuple(fact for fact in table.setting if fact[0] != OPTION)
            settings.setdefault((table.task, rest), {}).setdefault(shots, table)
    return [_across(of_shots) for of_shots in settings.values() if len(of_shots) > 1]


def alone(tables: Sequence[Table]) -> bool:
    """Whether nothing but the number of shots tells these tables apart."""
    return any(len(found.tables) == len(tables) for found in across(tables))


def _across(of_shots: Mapping[int, Table]) -> Across:
    tables = dict(sorted(of_shots.items()))
    rows: dict[str, dict[int, Row]] = {}
    for shots, table in reversed(tables.items()):  # the table with most shots gives the order
        for row in table.rows:
            rows.setdefault(row.label, {})[shots] = row
    return Across(tables, {label: of for label, of in rows.items() if len(of) > 1})
