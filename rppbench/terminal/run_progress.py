"""Progress of a run: bars in a terminal, lines in a log."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event as ThreadEvent
from threading import Lock, Thread

from rich.console import Console
from rich.progress import (
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rppbench.contracts.engine import Event, Report
from rppbench.records.cell import Cell, spell
from rppbench.terminal.step_progress import LineTimer
from rppbench.terminal.step_progress import bars as progress_bars

SPEED_SECONDS = 3600.0
"""Period over which bars average their speed: cells and epochs are slow."""

BEAT_SECONDS = 1.0
"""Period after which a log looks whether a running cell is due for a line."""


@contextmanager
def display(names: Mapping[str, str], console: Console, bars: bool = True) -> Iterator[Report]:
    """Show the events of a run of cells: a line or bar for each, and one for all.

    `names` are the `titles` of the cells. Without `bars` lines are printed in a terminal too.
    """
    if not console.is_terminal or not bars:
        with _Lines(console, names).beating() as lines:
            yield lines
        return
    columns = (
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with progress_bars(console, *columns, transient=False, speed_seconds=SPEED_SECONDS) as shown:
        yield _Bars(console, names, shown)


def titles(cells: Sequence[Cell]) -> dict[str, str]:
    """A short text for each cell that distinguishes it from the others, by key.

    Always method, data set and seed; of options, training, task and backbone only what differs.
    """
    facts = {cell.key: _facts(cell) for cell in cells}
    values: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        for name, text in facts[cell.key].items():
            values.setdefault((cell.method.name, name), set()).add(text)
    texts: dict[str, str] = {}
    for cell in cells:
        method = cell.method.name
        differing = [t for name, t in facts[cell.key].items() if len(values[method, name]) > 1]
        texts[cell.key] = f"{' '.join([method, *differing])}, {cell.dataset}, seed {cell.seed}"
    return texts


def _facts(cell: Cell) -> dict[str, str]:
    """The facts that may differ between cells of one method, by name, as text."""
    facts = {name: f"{name}={spell(value)}" for name, value in cell.method.options}
    facts |= {f"task.{name}": f"{name}={spell(value)}" for name, value in cell.task.options}
    facts["task"] = cell.task.name
    facts["backbone"] = cell.backbone
    if cell.training is not None:
        facts["shots"] = f"shots={cell.training.shots}"
        facts["recipe"] = cell.training.recipe.name
        if cell.training.teacher is not None:
            facts["teacher"] = f"teacher={cell.training.teacher}"
    return facts


class _Display(ABC):
    """A callback for events: prints results and warnings; a subclass shows what is running."""

    def __init__(self, console: Console, names: Mapping[str, str]) -> None:
        self.console, self.names = console, names
        self.over = 0
        self._warned: set[str] = set()

    def __call__(self, event: Event) -> None:
        name = self.names.get(event.key, event.key)
        if event.phase in ("done", "failed"):
            self.over += 1
            result = f"FAILED: {event.message}" if event.phase == "failed" else _numbers(event)
            self.print(f"[{self.over}/{len(self.names)}] {name}: {result}")
            self.finished(event)
        elif event.message:
            if event.message not in self._warned:
                self._warned.add(event.message)
                self.print(f"warning: {event.message}")
        else:
            self.running(event, name)

    def print(self, text: str) -> None:
        """Print one line without markup or wrapping."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @abstractmethod
    def running(self, event: Event, name: str) -> None:
        """A cell has started or made progress."""

    @abstractmethod
    def finished(self, event: Event) -> None:
        """A cell is done or has failed."""


class _Bars(_Display):
    """One bar for all cells, and below it one for each running cell."""

    def __init__(self, console: Console, names: Mapping[str, str], bars: Progress) -> None:
        super().__init__(console, names)
        self.bars = bars
        self.all = bars.add_task("cells", total=len(names), note="")
        self.tasks: dict[str, tuple[str, TaskID]] = {}
        """Phase and bar of the running cells."""

    def running(self, event: Event, name: str) -> None:
        phase, bar = self.tasks.get(event.key, ("", None))
        if bar is None or phase != event.phase:
            if bar is not None:  # the speed of another phase would distort the remaining time
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
class _Phase:
    """The phase that a cell is in."""

    name: str
    began: float
    done: int
    """Steps that were done when it began: a resumed training does not start at 0."""
    timer: LineTimer
    """Shared by all phases of the cell, so that a new phase does not print a line by itself."""
    last: Event


class _Lines(_Display):
    """Plain lines for the log of a batch job: one each LINE_SECONDS for each running cell."""

    def __init__(self, console: Console, names: Mapping[str, str]) -> None:
        super().__init__(console, names)
        self.phases: dict[str, _Phase] = {}
        self.lock = Lock()

    @contextmanager
    def beating(self) -> Iterator[_Lines]:
        """These lines, also of cells that report nothing for long."""
        over = ThreadEvent()

        def beat() -> None:
            while not over.wait(BEAT_SECONDS):
                self.beat()

        thread = Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()

    def beat(self) -> None:
        """Print the line of each running cell that is due for one."""
        with self.lock:
            for key, phase in self.phases.items():
                if phase.timer.due():
                    self.line(phase, self.names.get(key, key))

    def __call__(self, event: Event) -> None:
        with self.lock:
            super().__call__(event)

    def running(self, event: Event, name: str) -> None:
        now = time.monotonic()
        phase = self.phases.get(event.key)
        if phase is None:
            self.print(f"{name}: start")
        if phase is None or phase.name != event.phase:
            timer = LineTimer() if phase is None else phase.timer
            phase = self.phases[event.key] = _Phase(event.phase, now, event.done, timer, event)
        phase.last = event
        if event.total and phase.timer.due():
            self.line(phase, name)

    def line(self, phase: _Phase, name: str) -> None:
        """Print how far a cell is."""
        event, passed = phase.last, time.monotonic() - phase.began
        if not event.total:
            self.print(f"{name}: {event.phase} for {timedelta(seconds=round(passed))}")
            return
        parts = [f"{event.phase} {event.done}/{event.total}", _numbers(event)]
        if event.done > phase.done:
            left = passed / (event.done - phase.done) * (event.total - event.done)
            parts.append(f"{timedelta(seconds=round(left))} left")
        self.print(f"{name}: {', '.join(filter(None, parts))}")

    def finished(self, event: Event) -> None:
        self.phases.pop(event.key, None)


def _numbers(event: Event) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
