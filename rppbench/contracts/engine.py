"""Engines, which say where cells run; jobs, which run them; events, which report on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rppbench.errors import UsageError
from rppbench.records.cell import Cell
from rppbench.records.record import Failure

CellGroup = tuple[Cell, ...]
"""Cells that share a training: one worker runs them in order, so the training runs once."""


@dataclass(frozen=True)
class Event:
    """A report on a running cell; plain data, since it is sent between processes."""

    key: str
    """Key of the cell."""
    phase: str
    """'start', 'look' (at files), 'encode', 'train', 'evaluate', 'done' or 'failed'."""
    done: int = 0
    total: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    """'loss' and 'accuracy' of the training; when done, the primary metric by its name."""
    message: str = ""
    """Text for a person: the reason of a failure, or a warning."""


Report = Callable[[Event], None]
"""The callback for events."""


class Job(Protocol):
    """Runs the cells of a batch and writes a record for each; picklable."""

    output: Path
    """The folder of records; absolute once the job was pickled."""
    device: str
    """The device of the models: 'cpu', 'cuda' or 'cuda:1'."""
    stop_on_failure: bool
    """Whether to start nothing new after a cell has failed."""
    place: Mapping[str, str]
    """Where it runs: 'host', 'job', 'log', ...; added to the environment of records."""
    earlier: Mapping[str, tuple[Failure, ...]]
    """By the key of a cell, the failures of earlier tries; they are kept in its record."""

    def __call__(self, batch: CellGroup, report: Report) -> None:
        """Run the batch. The last event of every cell is 'done' or 'failed'."""

    def fail(self, cell: Cell, kind: str, message: str) -> None:
        """Record a failure of a cell whose worker could not record it."""

    def failure(self, cell: Cell) -> Failure | None:
        """The failure in the record of a cell; None if it has no record or a good one."""


class Engine(ABC):
    """A place to run batches of cells. Options are the keyword-only parameters of `__init__`."""

    name: str
    """Its name on the command line."""
    title: str
    """Its name in lists."""
    local = True
    """Whether cells run on this machine, so that its devices are theirs."""

    @abstractmethod
    def run(self, job: Job, batches: Sequence[CellGroup], report: Report) -> None:
        """Run all batches and return when they are done. A KeyboardInterrupt stops the workers.

        If the job has `stop_on_failure`, no other batch starts after a cell has failed.
        """

    def submit(self, job: Job, batches: Sequence[CellGroup]) -> list[str]:
        """Start the batches and return at once (`--detach`), with lines that say what was started.

        UsageError if the engine's workers end with the command.
        """
        raise UsageError(f"the workers of engine {self.name!r} end with the command: no --detach")

    def obstacle(self) -> str:
        """Why it cannot run here, and what to do; '' if it can."""
        return ""

    def outlook(self, batches: Sequence[CellGroup], seconds: Sequence[float | None]) -> list[str]:
        """Lines for `plan`: how many workers, what each needs, and how long it would take.

        `seconds` has an estimate for each batch; None where there is none.
        """
        return []
