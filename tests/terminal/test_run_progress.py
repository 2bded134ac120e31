"""What a person sees of a run."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from rppbench.contracts.engine import Event
from rppbench.records.cell import Cell, Choice, Options, Training
from rppbench.terminal import run_progress, step_progress
from rppbench.terminal.run_progress import display, titles

TASK = Choice("transfer")


def cell(
    dataset: str, seed: int = 1, method: str = "rpp", shots: int | None = None, **options: bool
) -> Cell:
    chosen: Options = tuple(sorted(options.items()))
    choice = Choice(method, chosen)
    training = None
    if shots is not None:
        training = Training(choice, Choice("r"), "s", "all", shots, seed, "tiny", None, "fp32")
    return Cell(TASK, dataset, choice, "tiny", "fp32", seed, None, training)


ONE, TWO = cell("pets", kd=True, deep=True), cell("cars", kd=False, deep=True)


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(run_progress, "time", clock)
    monkeypatch.setattr(step_progress, "time", clock)
    return clock


def screen(terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=160, color_system=None), text


def training(cell: Cell, done: int) -> Event:
    return Event(cell.key, "train", done, 100, {"loss": 1.23456, "accuracy": 56.78})


def test_a_title_names_what_differs_and_no_more() -> None:
    cells = [ONE, TWO, cell("pets", 2, method="coop", length=True)]
    assert list(titles(cells).values()) == [
        "rpp kd=on, pets, seed 1",
        "rpp kd=off, cars, seed 1",
        "coop, pets, seed 2",
    ]
    shots = [cell("pets", shots=1), cell("pets", shots=4)]
    assert list(titles(shots).values()) == [
        "rpp shots=1, pets, seed 1",
        "rpp shots=4, pets, seed 1",
    ]


def test_a_log_gets_a_line_at_start_and_end_and_few_between(clock: Clock) -> None:
    console, text = screen(terminal=False)
    with display(titles([ONE, TWO]), console) as report:
        report(Event(ONE.key, "start"))
        for step in range(40, 101):  # resumed at step 40; a second and a half a step
            clock.now += 1.5
            report(training(ONE, step))
        report(Event(ONE.key, "evaluate", 5, 10))
        report(Event(ONE.key, "done", metrics={"top1": 63.25}))
        report(Event(TWO.key, "start"))
        report(Event(TWO.key, "failed", message="no [file] here"))
    assert text.getvalue().splitlines() == [
        "rpp kd=on, pets, seed 1: start",
        "rpp kd=on, pets, seed 1: train 59/100, loss 1.235, accuracy 56.78, 0:01:02 left",
        "rpp kd=on, pets, seed 1: train 79/100, loss 1.235, accuracy 56.78, 0:00:32 left",
        "rpp kd=on, pets, seed 1: train 99/100, loss 1.235, accuracy 56.78, 0:00:02 left",
        "[1/2] rpp kd=on, pets, seed 1: top1 63.25",
        "rpp kd=off, cars, seed 1: start",
        "[2/2] rpp kd=off, cars, seed 1: FAILED: no [file] here",
    ]


def test_a_log_gets_a_line_each_half_minute_of_a_cell_that_reports_nothing(clock: Clock) -> None:
    console, text = screen(terminal=False)
    with display(titles([ONE]), console) as report:
        report(Event(ONE.key, "start"))
        for seconds in (29, 1, 29, 1):
            clock.now += seconds
            report.beat()  # type: ignore[attr-defined]  # as its thread does, each second
        report(training(ONE, 40))
        clock.now += 30
        report.beat()  # type: ignore[attr-defined]
    name = "rpp, pets, seed 1"
    assert text.getvalue().splitlines() == [
        f"{name}: start",
        f"{name}: start for 0:00:30",
        f"{name}: start for 0:01:00",
        f"{name}: train 40/100, loss 1.235, accuracy 56.78",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_warning_is_printed_once(terminal: bool) -> None:
    console, text = screen(terminal)
    with display(titles([ONE, TWO]), console) as report:
        for key in (ONE.key, TWO.key, ONE.key):
            report(Event(key, "evaluate", message="2 of 7 names are unknown"))
        report(Event(TWO.key, "train", message="another"))
    assert text.getvalue().count("warning: 2 of 7 names are unknown") == 1
    assert text.getvalue().count("warning: another") == 1


def test_a_terminal_shows_a_bar_for_each_running_cell_and_one_for_all() -> None:
    console, text = screen(terminal=True)
    with display(titles([ONE, TWO]), console) as report:
        report(Event(ONE.key, "start"))
        report(training(ONE, 30))
        report(Event(TWO.key, "start"))
        bars = report.bars  # type: ignore[attr-defined]
        shown = {task.description: (task.completed, task.total) for task in bars.tasks}
        assert shown == {
            "cells": (0, 2),
            "rpp kd=on, pets, seed 1: train": (30, 100),
            "rpp kd=off, cars, seed 1: start": (0, None),
        }
        assert "loss 1.235, accuracy 56.78" in {task.fields["note"] for task in bars.tasks}
        report(Event(ONE.key, "evaluate", 3, 9))
        assert [task.description for task in bars.tasks][-1] == "rpp kd=on, pets, seed 1: evaluate"
        report(Event(ONE.key, "done", metrics={"top1": 63.25}))
        report(Event(TWO.key, "failed", message="out of memory"))
        assert [(task.description, task.completed) for task in bars.tasks] == [("cells", 2)]
    assert "[1/2] rpp kd=on, pets, seed 1: top1 63.25" in text.getvalue()
    assert "[2/2] rpp kd=off, cars, seed 1: FAILED: out of memory" in text.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_cell_that_died_before_its_first_event_is_shown(terminal: bool) -> None:
    console, text = screen(terminal)
    with display(titles([ONE, TWO]), console) as report:
        report(Event(ONE.key, "failed", message="the worker died"))
    assert "[1/2] rpp kd=on, pets, seed 1: FAILED: the worker died" in text.getvalue()
