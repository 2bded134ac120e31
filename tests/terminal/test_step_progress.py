"""What a person sees of a long step."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rppbench.terminal import step_progress


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_log_gets_few_lines_and_none_of_a_short_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, text = Clock(), io.StringIO()
    monkeypatch.setattr(step_progress, "time", clock)
    with step_progress.step_progress(Console(file=text)) as begin_step:
        report = begin_step("read [all] records")
        for done in range(1, 101):
            clock.now += 0.75
            report(done, 100)
        report = begin_step("fetch x.zip")
        clock.now += 31
        report(12345, 0)  # of an unknown total
        begin_step("make tables")
    assert text.getvalue().splitlines() == [
        "read [all] records: 40%",
        "read [all] records: 80%",
        "fetch x.zip: 12,345",
    ]


def test_a_terminal_shows_the_bar_of_the_current_step_and_nothing_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")  # a dumb terminal has no bars
    text = io.StringIO()
    to = Console(file=text, force_terminal=True, width=80, color_system=None)
    with step_progress.step_progress(to) as begin_step:
        begin_step("read records")(1, 2)
        to.print("a line above the bar")
        begin_step("make tables")
    before, _, after = text.getvalue().partition("a line above the bar")
    assert "read records" in before + after
    last = after.rpartition("make tables")[2]
    assert "\x1b[2K" in last, "the bar is erased"
