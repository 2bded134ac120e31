"""`--quick`: one seed, few steps and images, records of their own in tables of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import RunCommand, refused, table_rows

from rppbench.records.cell import QUICK
from rppbench.records.store import Store

TOY = ("--task", "cross-dataset:suite=toy", "--model", "tiny")
METHODS = ("--method", "fixed", "context")
LONG = ("--set", "recipe.epochs=40")


@pytest.fixture
def both(run_command: RunCommand) -> str:
    """The page after a complete run and a quick one into the same folder."""
    words = ("run", *METHODS, *TOY, "--dataset", "toy-one")
    assert run_command(*words)[0] == 0
    status, page, _ = run_command(*words, "--quick")
    assert status == 0
    return page


def test_quick_cells_have_keys_of_their_own_few_steps_and_images(
    run_command: RunCommand, both: str
) -> None:
    cells = [record.cell for record in Store(Path("runs")).all()[0]]
    quick = [cell for cell in cells if QUICK in cell.inputs]
    others = [cell for cell in cells if QUICK not in cell.inputs]
    assert len(quick) == len(others) == 2
    assert {cell.limit for cell in quick} == {100}
    assert {cell.limit for cell in others} == {None}
    assert not {cell.comparability for cell in quick} & {cell.comparability for cell in others}
    (recipe,) = [cell.training.recipe for cell in quick if cell.training]
    assert recipe["steps"] == 20
    assert recipe.name.endswith("+steps=20")


def test_quick_numbers_never_stand_beside_complete_ones_and_say_what_they_are(
    run_command: RunCommand, both: str
) -> None:
    assert both.count("QUICK look: one seed, few training steps and test images") == 1
    assert both.count("\n## ") == 2
    tables = json.loads(Path("runs/cross-dataset.json").read_text())["tables"]
    assert sorted(dict(table["setting"]).get("quick", "") for table in tables) == ["", QUICK[1]]
    assert run_command("compare", "fixed", "context")[1].count("QUICK look") == 1
    assert "QUICK look" in run_command("leaderboard", "--format", "latex")[1]


def test_quick_records_are_not_published_and_merged_ones_stay_apart(
    run_command: RunCommand, both: str
) -> None:
    status, _, log = run_command("publish", "runs", "--to", "shared")
    assert status == 0
    assert "2 added" in log
    assert "2 of partial data or a quick look were left out" in log
    assert not any(record.cell.marks for record in Store(Path("shared")).all()[0])
    assert run_command("merge", "all", "shared", "runs")[0] == 0
    assert Path("all/cross-dataset.md").read_text().count("QUICK look") == 1


def test_a_quick_plan_leaves_what_was_said_as_it_is(run_command: RunCommand) -> None:
    words = ("plan", *METHODS, *TOY, "--quick")
    status, page, _ = run_command(*words, "--limit", "5", "--seed", "3", *LONG)
    assert status == 0
    assert {row[3] for row in table_rows(page)[1:]} == {"3"}
    assert "one seed" in refused(run_command, *words, "--seed", "1", "2")


@pytest.mark.parametrize(
    ("form", "start"), [("markdown", "# "), ("csv", "task,"), ("json", "{"), ("latex", "%")]
)
def test_the_leaderboard_is_printed_in_each_form(
    form: str, start: str, run_command: RunCommand
) -> None:
    assert run_command("run", "--method", "fixed", *TOY, "--dataset", "toy-one")[0] == 0
    status, page, _ = run_command("leaderboard", "--format", form)
    assert status == 0
    suffix = {"markdown": "md", "latex": "tex"}.get(form, form)
    assert page == Path(f"runs/cross-dataset.{suffix}").read_text()
    assert page.startswith(start) or form == "latex"
