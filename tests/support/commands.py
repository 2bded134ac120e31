"""Helpers for tests that run commands: the type of the `run_command` fixture, and arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rppbench.cli import main
from support.toy_plugin import ToyOne

RunCommand = Callable[..., tuple[int, str, str]]
"""Runs a command in this process; returns exit status, standard output and standard error."""


def command_line(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """As `RunCommand`, with the plugins that come with rppbench, which workers have too."""
    status = main(words)
    return status, *capsys.readouterr()


def export_toy(run_command: RunCommand) -> None:
    """Learn the toy method's prompt and export it to the folder 'mine'."""
    words = ("--method", "context", "--task", "cross-dataset:suite=toy", "--model", "tiny")
    run_command("run", *words, "--dataset", "toy-one", "--set", "recipe.epochs=1")
    assert run_command("export", "context", "--to", "mine")[0] == 0


def refused(run_command: RunCommand, *words: str) -> str:
    """The error message of a command that must be refused (exit status 2, no traceback)."""
    status, _, message = run_command(*words)
    assert status == 2, message
    assert "Traceback" not in message
    return message


def save_test_images() -> tuple[list[str], list[int]]:
    """Write the test images of a toy data set to the working folder; returns paths and labels."""
    dataset = ToyOne()
    samples = dataset.samples("test")
    paths = [f"{index}.png" for index in range(len(samples))]
    for path, sample in zip(paths, samples, strict=True):
        dataset.image(sample).save(path)
    return paths, [sample.label for sample in samples]


def table_rows(text: str) -> list[list[str]]:
    """The cells of the Markdown tables in a text, row by row from their heads on."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line[2:-2].split(" | ")] for line in lines]
    return [row for row in rows if {*row} - {"---", "---:"}]


def json_lines(text: str) -> list[dict[str, Any]]:
    """The answers that `predict --json` printed, one a line."""
    return [json.loads(line) for line in text.splitlines()]


def predict_test_images(run_command: RunCommand, names: str) -> tuple[int, list[dict[str, Any]]]:
    """How many test images `predict` with the prompt in 'mine' gets right, and its answers."""
    paths, labels = save_test_images()
    asked = ("--prompt", "mine", "--classes", names, "--json", *paths)
    status, printed, log = run_command("predict", *asked)
    assert status == 0, log
    answers = json_lines(printed)
    best = [names.split(",").index(answer["classes"][0]["name"]) for answer in answers]
    return sum(one == two for one, two in zip(best, labels, strict=True)), answers


def predict_words(folder: Path) -> tuple[str, ...]:
    """The words of a `predict` command with the prompt in a folder, and one image for it."""
    paths, _ = save_test_images()
    return ("predict", "--prompt", str(folder), "--classes", "red square,black cat", paths[0])
