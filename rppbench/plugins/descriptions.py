"""What records say about their method and task, for the page of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rppbench.records.cell import Cell, Option
from rppbench.records.record import ABOUT, LEARNS, QUESTION

if TYPE_CHECKING:  # importing torch takes longer than all else here
    from rppbench.contracts.method import Method
    from rppbench.contracts.task import Task


def descriptions(method: type[Method], task: type[Task], cell: Cell) -> dict[str, str]:
    """The labels of a cell's record with these descriptions; without those that are empty."""
    texts = {
        ABOUT: _first_paragraph(method),
        LEARNS: learns(method, dict(cell.method.options)),
        QUESTION: task.question,
    }
    return {name: text for name, text in texts.items() if text}


def learns(method: type[Method], options: Mapping[str, Option]) -> str:
    """What a method learns under these options, as the label `LEARNS` says it."""
    if method.learning is None:
        return "none"
    towers = set(method.prompted_towers(options))
    return "both" if len(towers) > 1 else next(iter(towers), "adapter")


def _first_paragraph(method: type[Method]) -> str:
    """The first paragraph of the method's docstring, on one line; '' without one."""
    return " ".join((method.__doc__ or "").strip().partition("\n\n")[0].split())
