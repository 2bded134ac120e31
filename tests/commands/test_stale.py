"""`plan` and `run` on data that changed: what they print, and the flags of the look."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from support.commands import RunCommand, refused, table_rows

import rppbench_datasets
from rppbench.plugins.registry import Registry

WORDS = (
    "--task",
    "cross-dataset:suite=toy",
    "--dataset",
    "folder:images?test=all",
    "--model",
    "tiny",
)
FIXED = ("--method", "fixed", *WORDS)


@pytest.fixture
def images(toys: Registry) -> Path:
    """A folder of six test images of equal size, in the working folder of the toys."""
    toys.manager.register(rppbench_datasets, "datasets")
    for name, colour in (("red_square", (200, 40, 40)), ("blue_lake", (40, 60, 200))):
        for number in range(3):
            path = Path("images") / name / f"{number}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), colour).save(path)
    return Path("images")


def paint(path: Path) -> None:
    Image.new("RGB", (32, 32), (40, 60, 200)).save(path)


def test_a_replaced_image_is_named_and_its_cell_runs_again(
    run_command: RunCommand, images: Path
) -> None:
    assert run_command("run", *FIXED)[0] == 0
    assert "1 cell: 0 to run, 1 done" in run_command("plan", *FIXED)[1]
    paint(images / "red_square" / "1.bmp")
    status, printed, _ = run_command("plan", *FIXED)
    assert status == 0
    reason = (
        "stale (1 cell): test images of 'folder:images?test=all' changed since "
        "(1: red_square/1.bmp)\n"
        "1 cell: 1 to run, 1 stale; 0 trainings"
    )
    assert reason in printed
    assert [row[4] for row in table_rows(printed)] == ["State", "stale"]
    assert "overwrite=never" in refused(run_command, "run", *FIXED, "--overwrite", "never")
    status, _, notes = run_command("run", *FIXED)
    assert status == 0
    assert reason.splitlines()[0] in notes
    assert "cells: 1 done, 0 had a record, 0 failed" in notes
    assert "1 done" in run_command("plan", *FIXED, "--verify-data")[1]


def test_trust_and_verify_exclude_each_other(run_command: RunCommand, images: Path) -> None:
    message = refused(run_command, "plan", *FIXED, "--trust-data", "--verify-data")
    assert "choose one" in message
