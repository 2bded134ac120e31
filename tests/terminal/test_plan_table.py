"""The lines below the table of a plan: totals, and why cells are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.records import record

from rppbench.planning.refusals import Refusals
from rppbench.planning.status import Planned
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Choice
from rppbench.terminal.plan_table import obstacle_lines, totals

PAGE = Path(__file__).parents[2] / "docs" / "backbones.md"


def refused() -> Planned:
    """RPP on a ResNet, as it is planned."""
    cell = replace(record("coop", backbone="RN50/openai").cell, method=Choice("rpp", ()))
    return Planned(cell, "refused", "none", 0, None, reason=Refusals(Registry.load())(cell))


def test_a_refused_cell_is_not_to_run() -> None:
    todo = Planned(record("coop").cell, "todo", "learn", 1, 60.0)
    both = [refused(), todo]
    assert totals(both, both, False).startswith("2 cells: 1 to run, 1 refused; 1 training; about ")
    assert "without an estimate" not in totals(both, both, False)
    assert totals(both, both, True).startswith("2 cells: 1 to run, 1 refused; ")


def test_the_page_on_backbones_shows_a_refusal_as_it_is_printed() -> None:
    entry = refused()
    lines = [*obstacle_lines([entry]), totals([entry], [entry], False)]
    assert "\n".join(["```text", *lines, "```"]) in PAGE.read_text(encoding="utf-8")
