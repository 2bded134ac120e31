"""Engines: where cells run. An engine places batches; the job does the work and writes records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rppbench.records import Cell

Batch = tuple[Cell, ...]
"""Cells that share a training: one worker runs them in order, so it is learned once."""


@dataclass(frozen=True)
class Event:
    """What a worker reports while it works on a cell; plain data, it crosses processes."""

    key: str
    """The cell's key."""
    phase: str
    """'train', 'evaluate', 'done' or 'failed'."""
    done: int = 0
    total: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    """'loss' and 'accuracy' in training; the primary metric by its name when done."""
    message: str = ""
    """One line for a person: the reason of a failure, a warning."""


Report = Callable[[Event], None]


class Job(Protocol):
    """Runs the cells of one batch and writes a record for each; picklable."""

    def __call__(self, batch: Batch, report: Report) -> None: ...


class Engine(ABC):
    """A place to run batches. Options are the keyword-only parameters of `__init__`."""

    name: str
    title: str

    @abstractmethod
    def run(self, job: Job, batches: Sequence[Batch], report: Report) -> None:
        """Run all batches; return when they are done. A KeyboardInterrupt stops the workers."""
