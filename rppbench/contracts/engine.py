"""Where cells run: the contract between engines, jobs and whoever watches them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rppbench.records.cell import Cell

CellGroup = tuple[Cell, ...]
"""Cells that share a training: one worker runs them in order, so it is learned once."""


@dataclass(frozen=True)
class Event:
    """What a worker reports while it works on a cell; plain data, it crosses processes."""

    key: str
    """The cell's key."""
    phase: str
    """'start', 'encode', 'train', 'evaluate', 'done' or 'failed'."""
    done: int = 0
    total: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    """'loss' and 'accuracy' in training; the primary metric by its name when done."""
    message: str = ""
    """Text for a person: the reason of a failure, a warning."""


Report = Callable[[Event], None]


class Job(Protocol):
    """Runs the cells of one batch and writes a record for each; picklable."""

    device: str
    """Where the models compute: 'cpu', 'cuda' or 'cuda:1'."""
    stop_on_failure: bool
    """Start nothing new after the first cell that failed."""

    def __call__(self, batch: CellGroup, report: Report) -> None:
        """Run the batch; every cell ends with an event 'done' or 'failed'."""

    def fail(self, cell: Cell, kind: str, message: str) -> None:
        """Record a failure that the cell could not record itself."""


class Engine(ABC):
    """A place to run batches. Options are the keyword-only parameters of `__init__`."""

    name: str
    title: str

    @abstractmethod
    def run(self, job: Job, batches: Sequence[CellGroup], report: Report) -> None:
        """Run all batches; return when they are done. A KeyboardInterrupt stops the workers.

        After a failed cell of a job that is to stop on failure no other batch starts.
        """
