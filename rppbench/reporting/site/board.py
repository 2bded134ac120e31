"""A table as a page shows it: its answer, its rows with whiskers, ties and signs, its heat map."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rppbench.leaderboard.build import TableWithVariants
from rppbench.leaderboard.number_format import decimals, duration_text, unit
from rppbench.leaderboard.tables import Row, Table
from rppbench.records.record import lower_is_better
from rppbench.reporting.footnotes import footnotes
from rppbench.reporting.layout import (
    NO_NUMBER,
    OTHER_METRICS_CAPTION,
    CellText,
    CostColumn,
    Layout,
    caption,
    cost_columns,
    entry_text,
    headline_text,
    other_metrics_layout,
    published_layout,
    training_sources,
)
from rppbench.reporting.site.answers import (
    Answer,
    Verdict,
    answer,
    difference_digits,
    tied_with_best,
    verdict,
)
from rppbench.reporting.site.looks import FAMILIES, Look, look
from rppbench.reporting.site.numbers import Scale, digits, fixed, scale_of, signed, span
from rppbench.reporting.site.pairs import Pairs
from rppbench.stats.ranks import LEVEL, split_letters

MOST_LANES = 8
"""Number of groups of rows that are drawn as lanes."""
STEPS = (0.5, 1.5, 3.0, 6.0)
"""Differences from which a colour of the heat map is stronger."""


@dataclass(frozen=True)
class Head:
    """The head of a column."""

    key: str
    """Its name in the address."""
    text: str
    falling: bool
    """Whether the first click sorts from large to small."""


@dataclass(frozen=True)
class NumberCell:
    """A cell of a column that scrolls."""

    text: CellText
    value: float | None
    """What it is sorted by."""


_Column = Callable[[Row], NumberCell]


@dataclass(frozen=True)
class HeatCell:
    """A difference from the reference in one column."""

    text: str
    kind: str
    """'u4' (much better) to 'd4' (much worse); 'u0' for none, '' without a difference."""
    sure: bool
    """Whether it is told apart from 0 after correction for the columns."""


@dataclass(frozen=True)
class BoardRow:
    """A row of a table, ready to be printed."""

    row: Row
    id: str
    """Its name in the address."""
    look: Look
    average: CellText
    whisker: str
    """Custom properties that place it on the scale; '' without a number or off the scale."""
    verdict: Verdict
    tied: bool
    """Whether it is not told apart from the best row."""
    lanes: tuple[bool, ...]
    """For each group, whether the row belongs to it."""
    standing: str
    """'best', 'tied with best', ...; without ranks, the difference from the reference."""
    cells: tuple[NumberCell, ...]
    heat: tuple[HeatCell, ...]

    @property
    def seconds(self) -> str:
        """The time of one training, as text."""
        seconds = self.row.train_seconds
        return NO_NUMBER if seconds is None else duration_text(seconds)


@dataclass(frozen=True)
class Board:
    """A table and all about it on a page."""

    built: TableWithVariants
    place: int
    """Its place among the boards of the page, from 0."""
    key: str
    """What chooses it in the address; '' for a page with one board."""
    title: str
    """What chooses it, for people: '4 images a class'."""
    answer: Answer
    scale: Scale | None
    rows: tuple[BoardRow, ...]
    heads: tuple[Head, ...]
    """Heads of the columns that scroll."""
    zero: str
    """Place of the reference on the scale: '43.8%'; '' without one."""
    pairs: Pairs
    drawer: str
    """Name of the script file with the contents of the drawers."""
    figures: tuple[Markup, ...] = ()
    """Drawn plots of the table, as markup."""

    @property
    def table(self) -> Table:
        """The table."""
        return self.built.table

    @property
    def metric(self) -> str:
        """The main metric with its unit: 'top1, %'."""
        name = self.table.columns[0].metric if self.table.by_metric else self.table.metric
        return f"{name.replace('_', ' ')}, {'%' if unit(name) == 'percent' else unit(name)}"

    @property
    def caption(self) -> str:
        """Conditions of all numbers."""
        return caption(self.table)

    @property
    def notes(self) -> list[str]:
        """Notes below the table."""
        return list(footnotes(self.table, tie="a bar joins"))

    @property
    def others(self) -> tuple[str, Layout] | None:
        """Averages of the other metrics, with their caption."""
        layout = other_metrics_layout(self.table.rows)
        return (OTHER_METRICS_CAPTION, layout) if layout else None

    @property
    def published(self) -> Layout | None:
        """Measured beside published numbers."""
        return published_layout(self.table.reported) if self.table.reported else None

    @property
    def has_heat(self) -> bool:
        """Whether any row has a difference in any column."""
        return len(self.table.columns) > 1 and any(c.kind for row in self.rows for c in row.heat)

    @property
    def data(self) -> dict[str, object]:
        """What the page's script needs of the table, beside its markup."""
        table = self.table
        return {
            "key": self.key,
            "task": table.task,
            "metric": self.metric,
            "byMetric": table.by_metric,
            "lower": lower_is_better(table.metric),
            "reference": next((r.id for r in self.rows if r.row.label == table.reference), ""),
            "scale": [self.scale.low, self.scale.high] if self.scale else None,
            "drawer": self.drawer,
            "rows": [_row_data(row) for row in self.rows],
        }


def _row_data(row: BoardRow) -> dict[str, object]:
    interval = row.row.headline.interval
    mean = row.row.headline.mean
    half = interval.half_width if interval else None
    words = [row.row.label, row.id, FAMILIES[row.look.family]]
    words += [text for pair in row.row.facts for text in pair]
    return {
        "id": row.id,
        "label": row.row.label,
        "family": row.look.family,
        "colour": row.look.colour,
        "words": " ".join(dict.fromkeys(words)).lower(),
        "mean": mean,
        "half": half,
        "digits": digits(half, row.row.headline.decimals),
        "parameters": row.row.parameters,
        "seconds": row.row.train_seconds,
    }


def board(
    built: TableWithVariants, place: int, key: str, title: str, pairs: Pairs, drawer: str
) -> Board:
    """The board of a table, without plots."""
    table = built.table
    variants = {variant.label: variant for variant in built.variants}
    intervals = [row.headline.interval for row in table.rows if row.headline.interval]
    scale = scale_of(intervals) if intervals else None
    labels = [row.label for row in table.rows]
    reference = labels.index(table.reference) if table.reference else None
    tied = {row.label for row in tied_with_best(table)}
    groups = _groups(table)
    heads = _heads(table)
    extra = _extra_columns(table)
    rows = tuple(
        BoardRow(
            row,
            id_,
            look(variants[row.label]),
            _average(row),
            _whisker(scale, row),
            verdict(table, row),
            row.label in tied,
            _lanes(row, groups),
            _standing(table, row, tied, at),
            (
                *(column(row) for column in extra),
                *(NumberCell(entry_text(entry), entry.mean) for entry in row.entries),
            ),
            tuple(_heat(table, pairs, reference, at)) if reference not in (None, at) else (),
        )
        for at, (row, id_) in enumerate(zip(table.rows, ids(labels), strict=True))
    )
    at_zero = table.rows[reference].headline.mean if reference is not None else None
    zero = scale.place(at_zero) if scale and at_zero is not None else ""
    return Board(built, place, key, title, answer(table), scale, rows, heads, zero, pairs, drawer)


def ids(labels: Iterable[str]) -> list[str]:
    """A different name for each label, of letters, digits and hyphens, for the address."""
    names: list[str] = []
    for label in labels:
        name = plain = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "row"
        number = 1
        while name in names:
            number += 1
            name = f"{plain}.{number}"
        names.append(name)
    return names


def _groups(table: Table) -> list[str]:
    """Names of the groups of rows that are not told apart, at most `MOST_LANES`."""
    letters = [name for row in table.rows if row.rank for name in split_letters(row.rank.groups)]
    return list(dict.fromkeys(sorted(letters)))[:MOST_LANES]


def _lanes(row: Row, groups: Sequence[str]) -> tuple[bool, ...]:
    own = split_letters(row.rank.groups) if row.rank else []
    return tuple(name in own for name in groups)


def _average(row: Row) -> CellText:
    text, number = headline_text(row), row.headline
    if number.mean is None:
        return text
    half = number.interval.half_width if number.interval else None
    places = digits(half, number.decimals)
    spread = "" if half is None else fixed(half, places)
    return CellText(fixed(number.mean, places), False, spread, text.mark)


def _whisker(scale: Scale | None, row: Row) -> str:
    interval = row.headline.interval
    if scale is None or interval is None or not scale.holds(interval.mean):
        return ""
    return scale.whisker(interval)


def _standing(table: Table, row: Row, tied: set[str], at: int) -> str:
    if table.ranking:
        if row.rank is None:
            return "incomplete"
        if at == 0:
            return "best average"
        return "tied with best" if row.label in tied else "behind the best" if tied else ""
    if row.against:
        test, places = row.against, difference_digits(table, row)
        ends = span(test.mean - test.half_width, test.mean + test.half_width, places)
        return f"{signed(test.mean, places)} ({ends})"
    return "reference" if row.label == table.reference else NO_NUMBER


def _heads(table: Table) -> tuple[Head, ...]:
    heads = [Head("without", f"Without {table.dominating}", True)] if table.dominating else []
    if len(training_sources(table)) > 1:
        heads.append(Head("source", "Trained on", False))
    heads += [Head("validation", "Validation", False)] if table.chooses else []
    for number, column in enumerate(_further_costs(table)):
        heads.append(Head(f"x{number}", column.head, column.more_is_better))
    for number, entry in enumerate(table.columns):
        metric = entry.metric
        heads.append(Head(f"c{number}", table.heading(entry), not lower_is_better(metric)))
    return tuple(heads)


def _further_costs(table: Table) -> list[CostColumn]:
    return [column for column in cost_columns(table.rows) if not column.always]


def _extra_columns(table: Table) -> list[_Column]:
    """The columns of `_heads` that are not numbers of data sets, as functions of a row."""
    columns: list[_Column] = []
    if table.dominating:
        columns.append(_without)
    if len(training_sources(table)) > 1:
        columns.append(lambda row: NumberCell(CellText(row.learned_on or NO_NUMBER), None))
    if table.chooses:
        columns.append(lambda row: NumberCell(CellText(row.validation or NO_NUMBER), None))
    columns += [_of_cost(column) for column in _further_costs(table)]
    return columns


def _of_cost(column: CostColumn) -> _Column:
    return lambda row: NumberCell(CellText(column.text(row)), column.value(row))


def _without(row: Row) -> NumberCell:
    places = row.headline.decimals
    text = NO_NUMBER if row.without is None else fixed(row.without, places)
    return NumberCell(CellText(text), row.without)


def _heat(table: Table, pairs: Pairs, reference: int | None, at: int) -> Iterable[HeatCell]:
    assert reference is not None
    known = pairs.columns(reference, at) or [None] * len(table.columns)
    for column, numbers in zip(table.columns, known, strict=True):
        if numbers is None:
            yield HeatCell(NO_NUMBER, "", False)
            continue
        half = (numbers[2] - numbers[1]) / 2 if len(numbers) > 3 else None
        places = digits(half, decimals(column.metric))
        sure = len(numbers) > 3 and numbers[3] < LEVEL
        yield heat_cell(numbers[0], places, sure, lower_is_better(column.metric))


def heat_cell(mean: float, places: int, sure: bool, lower: bool) -> HeatCell:
    """A difference with its colour: better is blue, also where less is better."""
    step = sum(abs(mean) >= least for least in STEPS)
    better = (mean > 0) != lower
    kind = f"{'u' if better or not step else 'd'}{step}"
    return HeatCell(signed(mean, places), kind, sure)


def dominance(table: Table) -> str:
    """A sentence on the data set that carries most of the differences; '' if none does."""
    if not table.dominating:
        return ""
    equal = 1 / len(table.columns)
    return (
        f"{table.dominating} carries {table.dominance:.0%} of the variance between rows; an equal "
        f"share would be {equal:.0%}."
    )


def default_board(boards: Sequence[Board]) -> Board:
    """The board that a page opens with: most rows, of these the most shots."""
    return max(boards, key=lambda one: (len(one.rows), one.table.requested_shots, -one.place))
