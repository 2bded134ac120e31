"""Cards: the tables of papers that can be measured again, as YAML files beside this module.

A card holds no number. It names a table of `leaderboards/published/` (or of a file in `cards/own/`,
for numbers of the project itself), the family of data sets and the seeds. `targets` turns each
number of the table into cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from rppbench.errors import UsageError, unknown
from rppbench.leaderboard.published import (
    FOLDERS,
    PublishedNumber,
    PublishedRow,
    mapping,
    read_rows,
)

FOLDER = Path(__file__).parent / "cards"
OWN = "own"
"""Folder beside the cards with numbers of the project's own records."""
SPREAD = "standard deviation, points"
"""Metric of a column that prints the spread over seeds."""


@dataclass(frozen=True)
class Card:
    """A table of a paper that one command measures again."""

    name: str
    """PAPER:TABLE"""
    title: str
    source: str
    """Name of the file with the published numbers, without its suffix."""
    places: tuple[str, ...]
    """Names of the tables in that file (`PublishedNumber.place`)."""
    suite: str = "coop"
    seeds: tuple[int, ...] = (1, 2, 3)
    rows: tuple[str, ...] = ()
    """Titles of the rows; () for all."""
    tolerance: float = 1.0
    """In the unit of the numbers, where no spread is printed: a point."""
    note: str = ""
    """What a reader should know about the numbers."""

    @property
    def file(self) -> str:
        """The name in names of files: 'maple-table3'."""
        return self.name.replace(":", "-")


KEYS = tuple(field.name for field in fields(Card) if field.name != "name")
NEEDED = ("title", "source", "places")


@dataclass(frozen=True)
class Goal:
    """One published number, and how near a measured one has to be."""

    number: PublishedNumber
    tolerance: float
    spread_printed: bool
    """Whether the tolerance is a printed spread."""


@cache
def cards() -> Mapping[str, Card]:
    """All cards by name. Raises UsageError for an invalid file."""
    known: dict[str, Card] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        for name, content in _read(path).items():
            if name in known:
                raise UsageError(f"{path.name}: two cards are named {name!r}")
            known[name] = _card(name, content, path.name)
    return known


def card(name: str) -> Card:
    """The named card. UsageError with the nearest names."""
    known = cards()
    if name not in known:
        raise unknown(
            "card is named", name, known, "cards", ["all cards: `rppbench reproduce list`"]
        )
    return known[name]


def goals(chosen: Card, titles: Sequence[str] = (), datasets: Sequence[str] = ()) -> list[Goal]:
    """The numbers of the card in the order of its table.

    `titles` and `datasets` keep the rows and the data sets of these names; () keeps all.
    UsageError for a name that the table does not have.
    """
    rows = [row for row in _rows(chosen) if not titles or _title(row) in titles]
    known_titles = {_title(row): None for row in _rows(chosen)}
    for title in titles:
        if title not in known_titles:
            raise unknown(f"row of {chosen.name} is named", title, known_titles, "rows")
    result = [_goal(chosen, number, row) for row in rows for number in row.numbers.values()]
    result = [goal for goal in result if goal.number.provenance.metric != SPREAD]
    scored = {goal.number.dataset: None for goal in result if goal.number.dataset}
    for dataset in datasets:
        if dataset not in scored:
            raise unknown(
                f"column of {chosen.name} is of a data set named", dataset, scored, "sets"
            )
    return [goal for goal in result if not datasets or goal.number.dataset in datasets]


def _goal(chosen: Card, number: PublishedNumber, row: PublishedRow) -> Goal:
    spreads = [
        other.value
        for other in row.numbers.values()
        if other.provenance.metric == SPREAD and other.dataset == number.dataset
    ]
    return Goal(number, float(spreads[0]) if spreads else chosen.tolerance, bool(spreads))


def _rows(chosen: Card) -> list[PublishedRow]:
    """The rows of the card's tables. UsageError if a place or a row is missing."""
    folders = (*FOLDERS, FOLDER / OWN)
    paths = [folder / f"{chosen.source}.yaml" for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise UsageError(f"card {chosen.name}: there is no file {chosen.source}.yaml of numbers")
    rows = [row for row in read_rows(path) if row.numbers]
    known = {_place(row): None for row in rows}
    for place in chosen.places:
        if place not in known:
            raise unknown(f"table of {path.name} is at", place, known, "places")
    rows = [row for row in rows if _place(row) in chosen.places]
    titles = {_title(row): None for row in rows}
    for title in chosen.rows:
        if title not in titles:
            raise unknown(f"row of {path.name} is named", title, titles, "rows")
    return [row for row in rows if not chosen.rows or _title(row) in chosen.rows]


def _place(row: PublishedRow) -> str:
    return next(iter(row.numbers.values())).place


def _title(row: PublishedRow) -> str:
    return next(iter(row.numbers.values())).title


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path.name} must hold NAME: CARD pairs")
    return content


def _card(name: Any, content: Any, file: str) -> Card:
    where = f"{file}: {name}"
    if not isinstance(name, str) or name.count(":") != 1:
        raise UsageError(f"{where}: a card is named PAPER:TABLE")
    lists = ("places", "rows", "seeds")
    kinds = {"seeds": int, "tolerance": float}
    values: dict[str, Any] = {}
    for key, value in mapping(content, where, KEYS, NEEDED).items():
        items = value if key in lists else [value]
        if not isinstance(items, list) or any(type(i) is not kinds.get(key, str) for i in items):
            raise UsageError(f"{where}: {key!r} has a value of another type: {value!r:.60}")
        values[key] = tuple(items) if key in lists else value
    return Card(name, **values)
