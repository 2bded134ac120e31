"""How far a long step is: a bar in a terminal, a line now and then in a log. Without torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rppbench.contracts.dataset import BeginStep, ReportProgress

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS = 10.0
"""A log gets at most one line in this time."""


@contextmanager
def watching(console: Console) -> Iterator[BeginStep]:
    """Show steps one after the other, each under its name."""
    if not console.is_terminal:
        yield lambda name: _Lines(console, name)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:

        def watch(name: str) -> ReportProgress:
            for task in bars.task_ids:
                bars.remove_task(task)
            bar = bars.add_task(name, total=None)
            return lambda done, total: bars.update(bar, completed=done, total=total or None)

        yield watch


class _Lines:
    """A step in a log; a short one says nothing."""

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name = console, name
        self.said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.said < LINE_SECONDS:
            return
        self.said = now
        share = f"{done / total:.0%}" if total else f"{done:,}"
        self.console.print(f"{self.name}: {share}", soft_wrap=True)
