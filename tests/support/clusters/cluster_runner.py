"""A runner of toy cells for workers of a cluster: slow steps, which are saved one by one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rppbench.contracts.engine import CellGroup, Event, Report
from rppbench.execution.resources import Resources
from rppbench.records.cell import Cell
from rppbench.training import trainer
from support.toy_runner import ToyRunner, toy_cells

SETTINGS = (("recipe.epochs", "2"), ("recipe.batch", "4"))


@dataclass
class ClusterRunner(ToyRunner):
    """Notes each training that it begins, and rests after each of its steps."""

    rest: float = 0.0
    """Seconds after each step of a training."""

    @cached_property
    def resources(self) -> Resources:
        trainer.SAVE_SECONDS = 0.3
        return ToyRunner.resources.func(self)  # type: ignore[attr-defined]

    def __call__(self, batch: CellGroup, report: Report) -> None:
        def rested(event: Event) -> None:
            if event.phase == "train" and not event.message:
                with (self.output / "steps.txt").open("a") as steps:
                    steps.write(f"{event.key} {event.done}\n")
                time.sleep(self.rest)
            report(event)

        super().__call__(batch, rested)


def grid(models: Path, seeds: Sequence[int] = tuple(range(1, 16))) -> list[Cell]:
    """62 cells with 15 seeds: two methods by two data sets by seed, and zero-shot."""
    methods = ("context:sampled=4", "context", "fixed")
    return toy_cells(models, *methods, seeds=seeds, settings=SETTINGS)
