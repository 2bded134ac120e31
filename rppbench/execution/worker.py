"""A worker process: started for an engine, fed with groups of cells, watched until it ends."""

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
from rppbench.records.cell import Cell

STOP_SECONDS = 5.0
"""A worker that was told to stop and still runs after this is killed."""


class _Worker:
    """A process that runs batches, started when there is one and again after it died.

    Each has a pipe of its own: a process killed while it writes to a shared queue would keep the
    queue's lock for ever, and all others would wait for it.
    """

    connection: Connection[Any, Any]

    def __init__(self, job: Job, environment: Mapping[str, str]) -> None:
        self.job, self.environment = job, environment
        self.process: SpawnProcess | None = None
        self.busy = False
        self.unfinished: dict[str, Cell] = {}
        """Cells of the running batch by key."""

    def take(self, batch: CellGroup) -> None:
        """Start on a batch, in the same process as the one before if that lives."""
        if self.process is not None and not self.process.is_alive():
            self.stop()
        if self.process is None:
            self._start()
        self.busy, self.unfinished = True, {cell.key: cell for cell in batch}
        with suppress(OSError):  # it died just now: `events` will find out and say so
            self.connection.send(batch)

    def events(self) -> Iterator[Event]:
        """The next event, or those that tell of a death."""
        try:
            event: Event | None = self.connection.recv()
        except (EOFError, OSError):
            yield from self._bury()
            return
        if event is None:  # the batch is over, whether all its cells ran or not
            self.busy = False
            return
        if event.phase in ("done", "failed"):
            self.unfinished.pop(event.key, None)
        yield event

    def dismiss(self) -> None:
        """Let the process end by itself; `stop` sees to it that it does."""
        if self.process is not None:
            with suppress(OSError):
                self.connection.send(None)
            self.process.join(STOP_SECONDS)

    def stop(self) -> None:
        """End the process now, whatever it does."""
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
        context = multiprocessing.get_context("spawn")  # a fork would copy a CUDA that cannot work
        self.connection, far_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(far_end,), name="rppbench worker")
        resource_tracker.ensure_running()  # its first start would unblock the interrupt
        with _environment(self.environment), _no_interrupt():
            self.process.start()
        far_end.close()  # else its end would never be seen here
        with suppress(OSError):
            self.connection.send(self.job)

    def _bury(self) -> Iterator[Event]:
        """Record the cells that a dead process left behind."""
        assert self.process is not None
        self.process.join(STOP_SECONDS)
        message = f"the worker died: {_ending(self.process.exitcode)}"
        self.stop()
        for cell in self.unfinished.values():
            self.job.fail(cell, "WorkerDied", message)
            yield Event(cell.key, "failed", message=message)


def _serve(connection: Connection[Any, Any]) -> None:
    """What a worker does: batches, until it gets None or the other end is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(event: Event | None) -> None:
        try:
            connection.send(event)
        except OSError:  # the parent is gone; as an exception it would be taken for the cell's
            os._exit(1)

    with suppress(EOFError):
        job: Job = connection.recv()
        while (batch := connection.recv()) is not None:
            job(batch, tell)
            tell(None)


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers, so they watch it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _ending(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name
    return f"{name}, which is what the system sends without memory" if name == "SIGKILL" else name


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables for a process that starts here: libraries read them while they load."""
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
    """Ctrl-C goes to a whole process group: only the parent answers, by stopping its workers.

    A blocked signal is inherited, from the first moment on; here it waits and is not lost.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
