"""The first page: a card for each task, and every method on every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rppbench.records.record import lower_is_better
from rppbench.reporting.site.answers import counted, difference_digits
from rppbench.reporting.site.board import Board, BoardRow, HeatCell, default_board, heat_cell
from rppbench.reporting.site.looks import Look
from rppbench.stats.ranks import LEVEL

CARD_ROWS = 4
"""Number of rows on a card, beside the reference."""


@dataclass(frozen=True)
class TaskPage:
    """The page of a task."""

    task: str
    file: str
    title: str
    short: str
    """Its name among the tabs."""
    question: str
    """'' where no record says it."""
    boards: tuple[Board, ...]

    @property
    def default(self) -> Board:
        """The board that the page opens with."""
        return default_board(self.boards)

    @property
    def stand_in(self) -> bool:
        """Whether numbers of the page come from the embedded world."""
        return any(board.table.stand_in for board in self.boards)

    @property
    def switch(self) -> str:
        """The key of the address that chooses a board."""
        return "shots" if all(board.key.isdecimal() for board in self.boards) else "table"

    @property
    def card(self) -> list[BoardRow]:
        """The best rows, and the reference."""
        board = self.default
        best = [row for row in board.rows if row.whisker][: CARD_ROWS + 1]
        if any(row.row.label == board.table.reference for row in best):
            return best
        reference = [row for row in board.rows if row.row.label == board.table.reference]
        return [*best[:CARD_ROWS], *reference] if reference else best

    @property
    def facts(self) -> str:
        """Metric, and counts of rows and data sets."""
        board = self.default
        sets = counted(len(board.table.datasets), "data set")
        chosen = [board.title] if board.title else []
        return " · ".join([board.metric, *chosen, counted(len(board.rows), "row"), sets])


@dataclass(frozen=True)
class MatrixRow:
    """A method's difference from the reference on each task."""

    label: str
    look: Look
    cells: tuple[HeatCell | None, ...]


def matrix(pages: Sequence[TaskPage]) -> list[MatrixRow]:
    """Every row that any task has, those on most tasks first; None where a task lacks it."""
    looks: dict[str, Look] = {}
    by_task: list[dict[str, HeatCell | None]] = []
    for page in pages:
        table = page.default.table
        lower = lower_is_better(table.metric)
        of_task: dict[str, HeatCell | None] = {}
        for row in page.default.rows:
            looks.setdefault(row.row.label, row.look)
            if test := row.row.against:
                sure = test.corrected < LEVEL
                places = difference_digits(table, row.row)
                of_task[row.row.label] = heat_cell(test.mean, places, sure, lower)
        by_task.append(of_task)
    labels = {label: None for of_task in by_task for label in of_task}
    rows = [
        MatrixRow(label, looks[label], tuple(of_task.get(label) for of_task in by_task))
        for label in labels
    ]
    return sorted(rows, key=lambda row: sum(cell is None for cell in row.cells))
