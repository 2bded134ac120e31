"""How a run is watched: bars in a terminal, lines in a log."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rppbench.contracts.engine import Event, Report
from rppbench.records.cell import Cell, spell

if TYPE_CHECKING:  # a plan needs torch
    from rppbench.planning.status import Planned

LINE_SECONDS = 10.0
"""A log gets at most one line of a running cell in this time."""
SPEED_SECONDS = 3600.0
"""Bars take their speed from this long a past: cells and epochs are slow."""


@contextmanager
def display(planned: Sequence[Planned], console: Console) -> Iterator[Report]:
    """Show the events of a run that runs these cells, and all of them."""
    names = titles([entry.cell for entry in planned])
    if not console.is_terminal:
        yield _Lines(console, names)
        return
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        speed_estimate_period=SPEED_SECONDS,
    )
    with bars:
        yield _Bars(console, names, bars)


def titles(cells: Sequence[Cell]) -> dict[str, str]:
    """What tells each cell from the others in a line, by key.

    Method, data set and seed always; of options, training and task what differs among the cells.
    """
    facts = {cell.key: _facts(cell) for cell in cells}
    values: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        for name, text in facts[cell.key].items():
            values.setdefault((cell.method.name, name), set()).add(text)
    shown: dict[str, str] = {}
    for cell in cells:
        method = cell.method.name
        differing = [t for name, t in facts[cell.key].items() if len(values[method, name]) > 1]
        shown[cell.key] = f"{' '.join([method, *differing])}, {cell.dataset}, seed {cell.seed}"
    return shown


def _facts(cell: Cell) -> dict[str, str]:
    """What may differ between the cells of one method, spelled for people."""
    facts = {name: f"{name}={spell(value)}" for name, value in cell.method.options}
    facts |= {f"task.{name}": f"{name}={spell(value)}" for name, value in cell.task.options}
    facts["task"] = cell.task.name
    if cell.training is not None:
        facts["shots"] = f"shots={cell.training.shots}"
        facts["recipe"] = cell.training.recipe.name
        if cell.training.teacher is not None:
            facts["teacher"] = f"teacher={cell.training.teacher}"
    return facts


class _Display(ABC):
    """Called with each event; prints what is final and leaves the rest to its kind."""

    def __init__(self, console: Console, names: Mapping[str, str]) -> None:
        self.console, self.names = console, names
        self.over = 0
        self._said: set[str] = set()

    def __call__(self, event: Event) -> None:
        name = self.names.get(event.key, event.key)
        if event.phase in ("done", "failed"):
            self.over += 1
            result = f"FAILED: {event.message}" if event.phase == "failed" else _numbers(event)
            self.say(f"[{self.over}/{len(self.names)}] {name}: {result}")
            self.finished(event)
        elif event.message:
            if event.message not in self._said:
                self._said.add(event.message)
                self.say(f"warning: {event.message}")
        else:
            self.running(event, name)

    def say(self, text: str) -> None:
        """One line as it is: no markup, no wrapping."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @abstractmethod
    def running(self, event: Event, name: str) -> None:
        """A cell began, or is further than before."""

    @abstractmethod
    def finished(self, event: Event) -> None:
        """A cell is over."""


class _Bars(_Display):
    """One bar for all cells, and below it one for each that is running."""

    def __init__(self, console: Console, names: Mapping[str, str], bars: Progress) -> None:
        super().__init__(console, names)
        self.bars = bars
        self.all = bars.add_task("cells", total=len(names), note="")
        self.tasks: dict[str, tuple[str, TaskID]] = {}
        """Phase and bar of the running cells."""

    def running(self, event: Event, name: str) -> None:
        phase, bar = self.tasks.get(event.key, ("", None))
        if bar is None or phase != event.phase:
            if bar is not None:  # the speed of another phase would spoil the time that is left
                self.bars.remove_task(bar)
            bar = self.bars.add_task(f"{name}: {event.phase}", total=None, note="")
            self.tasks[event.key] = (event.phase, bar)
        self.bars.update(bar, completed=event.done, total=event.total or None, note=_numbers(event))

    def finished(self, event: Event) -> None:
        _, bar = self.tasks.pop(event.key, ("", None))
        if bar is not None:
            self.bars.remove_task(bar)
        self.bars.update(self.all, completed=self.over)


@dataclass
class _Course:
    """How a phase of a cell goes on."""

    phase: str
    began: float
    done: int
    """Steps that were done when it began: a resumed training does not start at 0."""
    said: float
    """When a line told of this cell."""


class _Lines(_Display):
    """Plain lines, few enough for the log of a batch job."""

    def __init__(self, console: Console, names: Mapping[str, str]) -> None:
        super().__init__(console, names)
        self.courses: dict[str, _Course] = {}

    def running(self, event: Event, name: str) -> None:
        now = time.monotonic()
        course = self.courses.get(event.key)
        if course is None:
            self.say(f"{name}: start")
        if course is None or course.phase != event.phase:
            said = now if course is None else course.said
            course = self.courses[event.key] = _Course(event.phase, now, event.done, said)
        if now - course.said < LINE_SECONDS or not event.total:
            return
        course.said = now
        parts = [f"{event.phase} {event.done}/{event.total}", _numbers(event)]
        if event.done > course.done:
            left = (now - course.began) / (event.done - course.done) * (event.total - event.done)
            parts.append(f"{timedelta(seconds=round(left))} left")
        self.say(f"{name}: {', '.join(filter(None, parts))}")

    def finished(self, event: Event) -> None:
        self.courses.pop(event.key, None)


def _numbers(event: Event) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
