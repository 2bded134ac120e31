"""Cells that a backbone refuses: the plan says so before anything runs, and a run loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.commands import RunCommand, table_rows
from support.toy_plugin import save_tiny

from rppbench.execution import runner as runner_module
from rppbench.records.store import Store

TOY = ("--task", "cross-dataset:suite=toy", "--dataset", "toy-one")
METHODS = ("--method", "fixed", "context", "context:both=on")
REASON = "the image tower of resnet cannot be prompted: it is a ModifiedResNet"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone whose image tower takes no tokens, beside the tiny one."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny(folder)
    save_tiny(folder, "resnet", vision={"layers": [1, 1, 1, 1], "width": 8, "head_width": 64})
    return folder


def test_a_plan_names_the_refused_cells_with_the_reason_and_what_runs(
    run_command: RunCommand,
) -> None:
    words = ("plan", *METHODS, *TOY, "--model", "tiny", "resnet", "--seed", "1", "2")
    status, page, _ = run_command(*words)
    assert status == 0
    refused = [row for row in table_rows(page) if "refused" in row]
    assert len(refused) == 2
    assert all(row[:2] == ["resnet", "context (both=on)"] for row in refused)
    assert all("none" in row for row in refused), "nothing is trained for them"
    (why,) = [line for line in page.splitlines() if line.startswith("refused (2 cells)")]
    assert f"context: {REASON}" in why
    assert why.endswith("these run on it: context")
    assert "10 cells: 8 to run, 2 refused; 6 trainings" in page


def test_a_run_records_the_reason_without_loading_the_model(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*arguments: Any) -> Any:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(runner_module, "load", load)
    words = ("run", "--method", "context:both=on", *TOY, "--model", "resnet")
    status, page, log = run_command(*words)
    assert status == 1
    assert f"refused: {REASON}" in log
    (record,), _ = Store(Path("runs")).all()
    assert record.failure
    assert record.failure.kind == "refused"
    assert record.failure.message.startswith(REASON)
    assert record.failure.details == ""
    assert "| Context (both=on) | refused |" in page
    _, page, _ = run_command("plan", *words[1:])
    assert "1 cell: 0 to run, 1 refused" in page


def test_cells_that_fail_alike_are_one_line(run_command: RunCommand) -> None:
    words = (
        "run",
        "--method",
        "context:both=on",
        *TOY,
        "--model",
        "resnet",
        "--seed",
        "1",
        "2",
        "3",
    )
    status, _, log = run_command(*words)
    assert status == 1
    (line,) = [line for line in log.splitlines() if line.startswith("failed: ")]
    assert f"seed 1 and 2 more: refused: {REASON}" in line
    assert "3 failed" in log.splitlines()[-1]


def test_the_other_cells_of_the_backbone_run(run_command: RunCommand) -> None:
    status, page, log = run_command("run", *METHODS, *TOY, "--model", "resnet", "tiny")
    assert status == 1
    assert "cells: 5 done, 0 had a record, 1 failed" in log
    # A table for each backbone, and one for the difference from the method that learns nothing.
    assert page.count("| Context (both=on) |") == 3


def test_a_cell_that_has_its_number_is_done_whatever_the_table_says(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--method", "context", *TOY, "--model", "tiny")
    run_command("run", *words)
    monkeypatch.setattr(
        "rppbench.planning.refusals.Refusals.__call__", lambda self, cell: "no longer"
    )
    assert "1 cell: 0 to run, 1 done" in run_command("plan", *words)[1]
