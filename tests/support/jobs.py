"""A job without models for the tests of engines, in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rppbench.contracts.engine import CellGroup, Event, Report
from rppbench.execution.engines import Inline, Processes
from rppbench.records.cell import Cell, Choice
from rppbench.records.record import Failure

ENGINES = {"inline": Inline, "processes": Processes}


def cell(dataset: str) -> Cell:
    return Cell(Choice("task"), dataset, Choice("method"), "tiny", "fp32", 1, None, None)


def batch(words: str) -> CellGroup:
    """Cells that are written as words: 'ok-1 bad-2'."""
    return tuple(cell(word) for word in words.split())


@dataclass
class ScriptedJob:
    """A job in which the data set of a cell names an action, such as 'sleep-1'; see ACTIONS.

    It writes its process id to a file for each cell that it begins.
    """

    folder: Path
    device: str = "cpu"
    stop_on_failure: bool = False
    place: Mapping[str, str] = field(default_factory=dict)
    earlier: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        return self.folder

    def __call__(self, batch: CellGroup, report: Report) -> None:
        for one in batch:
            (self.folder / f"{one.dataset}.begun").write_text(str(os.getpid()))
            action = one.dataset.split("-")[0]
            if action == "bad":
                report(Event(one.key, "failed", message="bad data"))
                if self.stop_on_failure:
                    return
                continue
            if action in ACTIONS:
                ACTIONS[action]()
            report(Event(one.key, "done", metrics={"threads": float(os.environ[THREADS])}))

    def fail(self, one: Cell, kind: str, message: str) -> None:
        before = "".join(f"; before: {one.kind}" for one in self.earlier.get(one.key, ()))
        (self.folder / f"{one.dataset}.failed").write_text(f"{kind}: {message}{before}")

    def failure(self, one: Cell) -> Failure | None:
        return None


THREADS = "OMP_NUM_THREADS"
ACTIONS: dict[str, Callable[[], object]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT),
    "sleep": lambda: time.sleep(60),
    "nap": lambda: time.sleep(0.3),
}


def main(engine: str, folder: str) -> None:
    """Run two cell groups that sleep; an interrupt must end in exit status 130."""
    try:
        ENGINES[engine]().run(
            ScriptedJob(Path(folder)), [(cell("sleep-1"),), (cell("sleep-2"),)], lambda event: None
        )
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(*sys.argv[1:])
