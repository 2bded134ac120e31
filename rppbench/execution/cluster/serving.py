"""The main function of a worker: take batches of a shared run until none is open.

    python -m rppbench.execution.cluster.serving RUN NAME

The cells run in a child process that keeps its models from batch to batch. If a cell kills it, only
that cell has failed, and it is tried again.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from rppbench.contracts.engine import CellGroup, Event, Job, Report
from rppbench.errors import OutputError, UsageError
from rppbench.execution.cluster.shared_run import EventWriter, SharedRun, Taken
from rppbench.execution.devices import torch_device
from rppbench.execution.worker import WORKER_DIED, Worker
from rppbench.records.cell import Cell
from rppbench.records.record import LOG, Failure

EVENT_SECONDS = 1.0
"""Of the steps of a phase, at most one event is written in this time: files may be slow."""


Try = Callable[[CellGroup, Mapping[str, tuple[Failure, ...]], Report], None]
"""Runs cells once, given the failures of earlier tries, and reports their events."""


class Server:
    """A worker of a shared run."""

    def __init__(self, folder: Path, name: str, place: Mapping[str, str] | None = None) -> None:
        """`place` adds to what records say on where they were made: the id of a job, a log."""
        self.run, self.name = SharedRun(folder), name
        self.place = {"host": socket.gethostname(), "worker": name, **(place or {})}
        self.taken: Taken | None = None
        self.child: _Child | None = None

    def enter(self) -> bool:
        """Prepare this process for the run; False if this machine lacks what it needs.

        The command reports what is missing.
        """
        missing = self.run.surroundings.enter()
        device = self.run.work.device
        if device != "cpu":  # looking for others loads torch
            try:
                torch_device(device)
            except UsageError as error:
                missing.append(str(error))
        self.run.introduce(self.name, self.place, "; ".join(missing))
        if missing:
            print(f"{self.place['host']} lacks what the run needs:", *missing, sep="\n  ")
        return not missing

    def serve(self, most: int = 0) -> None:
        """Run batches in a child process until none is open, at most this many (0: any number).

        OutputError if records cannot be written.
        """
        if not self.enter():
            return
        job = _JobOfRun(self.run, self.place)
        self.child = child = _Child(job, {})
        self.take_batches(job, child.run, most)
        child.dismiss()
        child.stop()

    def take_batches(self, job: Job, attempt: Try, most: int = 0) -> None:
        """As `serve`, with another way to run cells."""
        self.run.release(self.name)  # it may be a worker that was stopped and starts again
        events = EventWriter(self.run, self.name)
        count = 0
        try:
            while not most or count < most:
                self.taken = self.run.take(self.name, self.place)
                if self.taken is None:
                    return
                _Batch(self.taken, attempt, job, events).run()
                self.taken.end()
                self.taken = None
                count += 1
        except OutputError as error:
            self.run.introduce(self.name, self.place, str(error))
            raise
        finally:
            if self.taken is not None:
                self.halt("stopped")

    def halt(self, reason: str) -> None:
        """End now and put the batch back: its running cell did not fail.

        May be called by a signal handler.
        """
        taken, self.taken = self.taken, None
        if taken is not None:
            taken.end(put_back=reason)
        if self.child is not None:
            self.child.stop()


class _JobOfRun:
    """The job of a run, which the worker's own process need not load to watch its child."""

    def __init__(self, run: SharedRun, place: Mapping[str, str]) -> None:
        self.run, self.place = run, place
        self.device, self.stop_on_failure = run.work.device, run.work.stop_on_failure
        self.output = run.folder.parents[1]
        self.earlier: Mapping[str, tuple[Failure, ...]] = {}

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "loaded"}

    @cached_property
    def loaded(self) -> Job:
        job: Job = pickle.loads(self.run.work.job)
        job.place = self.place
        return job

    def __call__(self, batch: CellGroup, report: Report) -> None:
        self.loaded.earlier = self.earlier
        self.loaded(batch, report)

    def fail(self, cell: Cell, kind: str, message: str) -> None:
        self.loaded.earlier = self.earlier
        self.loaded.fail(cell, kind, message)

    def failure(self, cell: Cell) -> Failure | None:
        return self.loaded.failure(cell)


LOST = "lost"
"""Phase of an event of this module: the process of the cell died."""


class _Child(Worker):
    """A process that leaves it to the batch what becomes of its cells when it dies."""

    def lost(self, cell: Cell, message: str) -> Event:
        return Event(cell.key, LOST, message=message)

    def run(
        self, cells: CellGroup, earlier: Mapping[str, tuple[Failure, ...]], report: Report
    ) -> None:
        """Run the cells in the process and relay its events."""
        self.take(cells, earlier)
        while self.busy:
            for event in self.events():
                # A batch system sends this signal to end a job, whatever the cell does.
                if event.phase != LOST or self.status != -signal.SIGTERM:
                    report(event)


class _Batch:
    """A batch that is tried until each of its cells is done or has failed for good."""

    def __init__(self, taken: Taken, attempt: Try, job: Job, events: EventWriter) -> None:
        self.taken, self.attempt, self.job, self.events = taken, attempt, job, events
        self.running = ""
        """Key of the cell that has started."""
        self.stopping = False
        self.written: tuple[str, str] = ("", "")
        self.when = 0.0

    def run(self) -> None:
        """Try the open cells again and again. OutputError if records cannot be written."""
        self._give_up()
        while (cells := self.taken.open()) and not self.stopping:
            self.running = ""
            by_key = {cell.key: cell for cell in cells}
            self.attempt(
                tuple(cells),
                self.taken.history.failures,
                lambda event, by_key=by_key: self._handle(event, by_key),  # type: ignore[misc]
            )

    def _handle(self, event: Event, cells: Mapping[str, Cell]) -> None:
        if event.phase == "start":
            self.running = event.key
            self.taken.note(start=event.key)
        elif event.phase == "done":
            self.taken.note(done=event.key)
            self.running = ""
        elif event.phase == "failed":
            cell = cells[event.key]
            failure = self.job.failure(cell) or Failure("failed", event.message)
            self._failed(cell, failure, recorded=True)
            return
        elif event.phase == LOST:
            # Only the running cell is to blame, or the first if the process died before any.
            if event.key == (self.running or next(iter(cells))):
                self._failed(cells[event.key], Failure(WORKER_DIED, event.message), recorded=False)
            return
        self._write(event)

    def _failed(self, cell: Cell, failure: Failure, recorded: bool) -> None:
        self.running = ""
        self.taken.note(failed=cell.key, **asdict(failure))
        failures = self.taken.history.failures[cell.key]
        if self.taken.another_try(failures):
            text = f"try {len(failures)} of {self.taken.run.work.retries + 1} failed"
            message = f"{text}, {failure.kind}: {failure.message}"
            self._write(Event(cell.key, "start", message=message))
            return
        self._fail(cell, failure, recorded)

    def _fail(self, cell: Cell, failure: Failure, recorded: bool) -> None:
        """A cell that is not tried again: record the last failure, with those before it."""
        if not recorded:
            self.job.earlier = {cell.key: self.taken.history.failures[cell.key][:-1]}
            self.job.fail(cell, failure.kind, failure.message)
        self._write(Event(cell.key, "failed", message=failure.message))
        if self.taken.run.work.stop_on_failure:
            self.stopping = True
            self.taken.run.stop()

    def _give_up(self) -> None:
        """Fail the cells whose workers have died too often."""
        last = {key: failures[-1] for key, failures in self.taken.history.failures.items()}
        tried = set(self.taken.open())
        for cell in self.taken.batch:
            failure = last.get(cell.key)
            done = cell.key in self.taken.history.done
            if failure is None or done or cell in tried or failure.kind != WORKER_DIED:
                continue
            self._fail(cell, failure, recorded=False)

    def _write(self, event: Event) -> None:
        """Write an event, unless it is one more step soon after another."""
        now, of = time.monotonic(), (event.key, event.phase)
        step = event.phase not in ("start", "done", "failed") and not event.message
        if step and of == self.written and now - self.when < EVENT_SECONDS:
            return
        self.written, self.when = of, now
        self.events.write(event)


def log_to(run: SharedRun, name: str) -> dict[str, str]:
    """Send what this process and its children print to the worker's log; names it for records."""
    path = run.log_folder / f"{name}.log"
    with path.open("ab") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    return {LOG: path.relative_to(run.folder.parents[1]).as_posix()}


def main(folder: str, name: str) -> int:
    """Serve as the worker of this name. 2 if records cannot be written."""
    server = Server(Path(folder), name, log_to(SharedRun(Path(folder)), name))

    def halt(number: int, frame: object) -> None:
        server.halt(f"stopped by {signal.Signals(number).name}")
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, halt)
    try:
        server.serve()
    except OutputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
