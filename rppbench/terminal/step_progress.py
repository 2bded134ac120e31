"""Progress of long work: a bar in a terminal, an occasional line in a log. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rppbench.contracts.dataset import BeginStep, ReportProgress
from rppbench.terminal.console import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

LINE_SECONDS = 30.0
"""Minimum time between two lines about one running step or cell in a log."""


class LineTimer:
    """Decides when a log gets its next line."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether LINE_SECONDS have passed since the last line, or since the start."""
        now = time.monotonic()
        if now - self.last < LINE_SECONDS:
            return False
        self.last = now
        return True


def bars(to: Console, *columns: ProgressColumn, transient: bool, speed_seconds: float) -> Progress:
    """Bars for a terminal: a description, the bar, then `columns`.

    The remaining time is estimated from the speed of the last `speed_seconds`.
    """
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),  # names may hold brackets
        BarColumn(bar_width=24),
        *columns,
        console=to,
        transient=transient,
        speed_estimate_period=speed_seconds,
    )


@contextmanager
def step_progress(to: Console | None = None, show_bars: bool = True) -> Iterator[BeginStep]:
    """Show steps one after the other, each under its name, on stderr or another console.

    Without `show_bars` lines are printed in a terminal too.
    """
    to = to or console(stderr=True)
    if not to.is_terminal or not show_bars:
        yield lambda name: _Lines(to, name)
        return
    from rich.progress import TimeRemainingColumn

    with bars(to, TimeRemainingColumn(), transient=True, speed_seconds=30.0) as shown:

        def begin_step(name: str) -> ReportProgress:
            for task in shown.task_ids:
                shown.remove_task(task)
            bar = shown.add_task(name, total=None)
            return lambda done, total: shown.update(bar, completed=done, total=total or None)

        yield begin_step


class _Lines:
    """A step in a log; a short one prints nothing."""

    def __init__(self, to: Console, name: str) -> None:
        self.console, self.name = to, name
        self.timer = LineTimer()

    def __call__(self, done: int, total: int) -> None:
        if self.timer.due():
            share = f"{done / total:.0%}" if total else f"{done:,}"
            self.console.print(
                f"{self.name}: {share}", markup=False, highlight=False, soft_wrap=True
            )
