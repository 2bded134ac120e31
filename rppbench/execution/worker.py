"""Worker processes: each runs groups of cells for an engine until it is stopped or dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from rppbench.contracts.engine import CellGroup, Event, Job
from rppbench.errors import OutputError
from rppbench.plugins.containment import interrupts
from rppbench.records.cell import Cell
from rppbench.records.record import Failure
from rppbench.terminal import streams

STOP_SECONDS = 5.0
"""A worker that still runs this long after it was asked to stop is killed."""
WORKER_DIED = "WorkerDied"
"""Kind of the failure of a cell whose process died."""


class Worker:
    """A process that runs batches. It starts with the first batch, and again after it died.

    Each has its own pipe: a process killed while it writes to a shared queue would keep the queue's
    lock forever, and all others would wait for it.
    """

    connection: Connection[Any, Any]

    def __init__(self, job: Job, environment: Mapping[str, str]) -> None:
        self.job, self.environment = job, environment
        self.process: SpawnProcess | None = None
        self.busy = False
        self.status: int | None = None
        """Exit status of the last process that died."""
        self.unfinished: dict[str, Cell] = {}
        """Cells of the running batch by key."""

    def take(
        self, batch: CellGroup, earlier: Mapping[str, tuple[Failure, ...]] | None = None
    ) -> None:
        """Start a batch, in the process of the previous batch if it is alive.

        `earlier` holds the failures of earlier tries by the key of a cell.
        """
        if self.process is not None and not self.process.is_alive():
            self.stop()
        if self.process is None:
            self._start()
        self.busy, self.unfinished = True, {cell.key: cell for cell in batch}
        with suppress(OSError):  # it died just now: `events` reports that
            self.connection.send((batch, earlier or {}))

    def events(self) -> Iterator[Event]:
        """The next event; if the process died, a failure for each unfinished cell.

        OutputError if the process cannot write records.
        """
        try:
            event: Event | OutputError | None = self.connection.recv()
        except (EOFError, OSError):
            yield from self._fail_unfinished()
            return
        if isinstance(event, OutputError):
            raise event
        if event is None:  # the batch is over, whether all its cells ran or not
            self.busy = False
            return
        if event.phase in ("done", "failed"):
            self.unfinished.pop(event.key, None)
        yield event

    def dismiss(self) -> None:
        """Ask the process to end by itself; `stop` ends it if it does not."""
        if self.process is not None:
            with suppress(OSError):
                self.connection.send(None)
            self.process.join(STOP_SECONDS)

    def stop(self) -> None:
        """End the process now, even while it runs a batch."""
        if self.process is None:
            return
        self.process.terminate()
        self.process.join(STOP_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()
        self.process, self.busy = None, False

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not work after a fork
        self.connection, far_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(far_end,), name="rppbench worker")
        resource_tracker.ensure_running()  # starting it below would unblock the interrupt
        with _environment(self.environment), _no_interrupt():
            self.process.start()
        far_end.close()  # otherwise the pipe would outlive the process
        with suppress(OSError):
            self.connection.send(self.job)

    def _fail_unfinished(self) -> Iterator[Event]:
        """Record the cells that a dead process did not finish as failed."""
        assert self.process is not None
        self.process.join(STOP_SECONDS)
        self.status = self.process.exitcode
        message = f"the worker died: {_ending(self.status)}"
        self.stop()
        for cell in self.unfinished.values():
            yield self.lost(cell, message)

    def lost(self, cell: Cell, message: str) -> Event:
        """What to report on a cell whose process died: here a failure, which is recorded."""
        self.job.fail(cell, WORKER_DIED, message)
        return Event(cell.key, "failed", message=message)


def _serve(connection: Connection[Any, Any]) -> None:
    """The worker's main function: run batches until it gets None or the pipe is closed."""
    streams.protect()
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(event: Event | None) -> None:
        try:
            connection.send(event)
        except OSError:  # the parent is gone; raised, it would look like an error of the cell
            os._exit(1)

    with suppress(EOFError), interrupts():
        job: Job = connection.recv()
        while (work := connection.recv()) is not None:
            batch, job.earlier = work
            try:
                job(batch, report)
            except OutputError as error:  # the parent stops the run: no cell could be stored
                connection.send(error)
            report(None)


def _end_with_parent() -> None:
    """Exit when the parent has died: a killed parent cannot stop its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _ending(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name
    return f"{name}, which the system sends when memory runs out" if name == "SIGKILL" else name


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables while a process starts: its libraries read them when they load."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Block the interrupt, and the signals of batch systems, while a process starts.

    Ctrl-C is sent to the entire process group, a batch system's warning to all processes of a job;
    only the parent reacts, by stopping its workers. A child inherits the block from its first
    moment; the parent gets the signal afterwards.
    """
    blocked = {signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
