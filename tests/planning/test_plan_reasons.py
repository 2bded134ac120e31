"""What a plan says before the first run: why cells are blocked, shots, and estimates."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import command_line, table_rows

WORDS = ("plan", "--method", "zeroshot", "coop", "--task", "few-shot", "--shots", "1", "4")


@pytest.mark.parametrize("names", [("eurosat",), ("eurosat", "demo-2-media")])
def test_a_plan_says_why_cells_are_blocked_and_exits_2_if_all_are(
    names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        *WORDS,
        "--dataset",
        *names,
        "--data",
        str(tmp_path),
        "--output",
        str(tmp_path / "out"),
    )
    status, page, _ = command_line(capsys, *words)
    heads, *rows = table_rows(page)
    assert heads == ["Method", "Task", "Data set", "Shots", "Seed", "State", "Training", "Estimate"]
    assert len({tuple(row) for row in rows}) == len(rows) == 4 * len(names), (
        "cells that differ in shots differ here"
    )
    (reason,) = [line for line in page.splitlines() if line.startswith("blocked (4 cells): ")]
    assert f"eurosat: no folder {tmp_path}/eurosat" in reason
    assert "lay the data out as in" in reason
    assert status == (2 if names == ("eurosat",) else 0)
    assert all(row[-1].startswith("~") for row in rows), "no record, so from the model"
