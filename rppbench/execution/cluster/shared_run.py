"""A run in a folder that the command and all its workers see: batches, claims, tries, events.

    OUTPUT/engine/NAME/work.pickle      the job and its batches, which only workers load
                       batches.json     keys of the cells of each batch, and their titles
                       surroundings.json   what the workers need, read first
                       workers/W.json   where worker W runs, and why it cannot, if so
                       claims/N.claim   the worker that runs batch N now (`files.claims`)
                       tries/N.jsonl    what has happened to batch N so far
                       over/N.jsonl     the same, once all its cells are done or have failed
                       events/W.jsonl   the events that worker W reported
                       logs/W.log       what worker W printed
                       stop             a mark: no worker takes another batch

Every file has one writer at a time. Any number of workers may come and go: each takes the next open
batch, so that an engine only has to start them.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from rppbench.contracts.engine import CellGroup, Event, Job
from rppbench.errors import UsageError
from rppbench.execution.cluster.surroundings import Surroundings
from rppbench.execution.worker import WORKER_DIED
from rppbench.files.atomic import write_atomically
from rppbench.files.claims import Claim, try_claim
from rppbench.records.cell import Cell
from rppbench.records.record import CRASH, LOG, Failure

RUNS = "engine"
"""Folder of the runs, in the folder of records."""
TRANSIENT = (WORKER_DIED, "oom", "process-lost")
"""Kinds of failures without a traceback that another try may not meet."""


@dataclass(frozen=True)
class Work:
    """What the command hands to its workers."""

    job: bytes
    """The pickled job, which loads torch."""
    device: str
    stop_on_failure: bool
    batches: Sequence[CellGroup]
    retries: int
    """How many more times a cell is tried that failed."""


class SharedRun:
    """A run, as the command and each of its workers see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, engine: str, job: Job, batches: Sequence[CellGroup], retries: int) -> SharedRun:
        """Write a new run below the folder of records. OSError if that cannot be written."""
        # Imported only here: listing engines, as most commands do, needs no progress bars.
        from rppbench.terminal.run_progress import titles

        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        folder = job.output.absolute() / RUNS / f"{engine}-{stamp}-{uuid4().hex[:4]}"
        for name in ("workers", "claims", "tries", "over", "events", "logs"):
            (folder / name).mkdir(parents=True)
        try:
            pickled = pickle.dumps(job)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UsageError(f"the job cannot be sent to workers: {error}") from error
        work = Work(pickled, job.device, job.stop_on_failure, list(batches), retries)
        surroundings = json.dumps(asdict(Surroundings.here()))
        write_atomically(folder / "surroundings.json", surroundings)
        listed = {
            "keys": [[cell.key for cell in batch] for batch in batches],
            "titles": titles([cell for batch in batches for cell in batch]),
        }
        write_atomically(folder / "batches.json", json.dumps(listed))
        write_atomically(folder / "work.pickle", pickle.dumps(work))
        return cls(folder)

    @cached_property
    def work(self) -> Work:
        """The batches, and the job, which can be loaded once the surroundings are entered.

        A command must not load it: it need not have written the folder, and a pickle runs code.
        """
        work: Work = pickle.loads((self.folder / "work.pickle").read_bytes())
        return work

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(**json.loads((self.folder / "surroundings.json").read_text()))

    @property
    def log_folder(self) -> Path:
        return self.folder / "logs"

    # -- the command's side

    @cached_property
    def keys(self) -> list[list[str]]:
        """Keys of the cells of each batch."""
        return [list(map(str, batch)) for batch in self._listed["keys"]]

    @property
    def titles(self) -> dict[str, str]:
        """A short text for each cell by its key."""
        return {str(key): str(title) for key, title in self._listed["titles"].items()}

    @cached_property
    def _listed(self) -> dict[str, Any]:
        path = self.folder / "batches.json"
        try:
            listed: dict[str, Any] = json.loads(path.read_text())
        except ValueError as error:
            raise UsageError(f"{path} is damaged: remove {self.folder}") from error
        return listed

    def left(self) -> list[int]:
        """Numbers of the batches that are not over; [] if the run was closed."""
        if self.closed:
            return []
        over = self._numbers("over")
        return [number for number in range(len(self.keys)) if number not in over]

    def stop(self) -> None:
        """Let no worker take another batch."""
        (self.folder / "stop").touch()

    @property
    def closed(self) -> bool:
        """Whether a command has found that the run is over."""
        return not (self.folder / "work.pickle").exists()

    @property
    def stopped(self) -> bool:
        return (self.folder / "stop").exists()

    def release(self, worker: str) -> None:
        """Release the batches of a worker that is dead: its claims may live on for a minute."""
        for number in self._numbers("claims"):
            history = _History(self._read("tries", number))
            if history.holder == worker:
                (self.folder / "claims" / f"{number}.claim").unlink(missing_ok=True)

    def has_worked(self, worker: str) -> bool:
        """Whether a worker took any batch."""
        path = self.folder / "events" / f"{worker}.jsonl"
        return path.exists() and path.stat().st_size > 0

    def problem(self, worker: str) -> str:
        """Why a worker could not start, in words; '' if it could, or never came so far."""
        return str(self.about(worker).get("problem", ""))

    def about(self, worker: str) -> dict[str, Any]:
        """Where a worker runs: 'host', 'log', ...; {} before it has started."""
        try:
            about: dict[str, Any] = json.loads(
                (self.folder / "workers" / f"{worker}.json").read_text()
            )
        except (OSError, ValueError):
            return {}
        return about

    def workers(self) -> list[str]:
        """The workers that have started so far."""
        return sorted(path.stem for path in (self.folder / "workers").glob("*.json"))

    def close(self) -> None:
        """Remove what a run that is over no longer needs; logs and events stay."""
        for name in ("work.pickle", "batches.json"):
            (self.folder / name).unlink(missing_ok=True)
        for name in ("claims", "over", "tries"):
            for path in (self.folder / name).iterdir():
                path.unlink(missing_ok=True)
            with suppress(OSError):  # a worker may have released a claim just now
                (self.folder / name).rmdir()

    # -- a worker's side

    def introduce(self, worker: str, place: Mapping[str, str], problem: str) -> None:
        """Say where a worker runs, and why it cannot if `problem` is not ''."""
        text = json.dumps({**place, "problem": problem})
        write_atomically(self.folder / "workers" / f"{worker}.json", text)

    def take(self, worker: str, place: Mapping[str, str]) -> Taken | None:
        """The next open batch, claimed for this worker; None if there is none, or at a stop."""
        if self.stopped or self.closed:
            return None
        over, claimed = self._numbers("over"), self._numbers("claims")
        numbers = [number for number in range(len(self.keys)) if number not in over]
        # Those of others last: their holders may be dead.
        for number in sorted(numbers, key=lambda one: one in claimed):
            claim = try_claim(self.folder / "claims" / f"{number}.claim")
            if claim is None:
                continue
            if (self.folder / "over" / f"{number}.jsonl").exists():  # since it was listed
                claim.release()
                continue
            lines = self._read("tries", number)
            taken = Taken(self, number, self.work.batches[number], claim, _History(lines))
            taken.note(take=worker, place=dict(place))
            return taken
        return None

    def _numbers(self, name: str) -> set[int]:
        try:
            names = os.listdir(self.folder / name)
        except FileNotFoundError:
            return set()
        return {int(stem) for one in names if (stem := one.partition(".")[0]).isdecimal()}

    def _read(self, name: str, number: int) -> list[dict[str, Any]]:
        try:
            return list(_parsed((self.folder / name / f"{number}.jsonl").read_bytes()))
        except OSError:
            return []


@dataclass
class Taken:
    """A batch that this process has claimed."""

    run: SharedRun
    number: int
    batch: CellGroup
    claim: Claim
    history: _History

    def open(self) -> list[Cell]:
        """The cells that are neither done nor have failed for good."""
        done, failed = self.history.done, self.history.failures
        return [
            cell
            for cell in self.batch
            if cell.key not in done and self.another_try(failed.get(cell.key, ()))
        ]

    def another_try(self, failures: Sequence[Failure]) -> bool:
        """Whether a cell with these failures is tried again."""
        if not failures:
            return True
        last = failures[-1]
        worth = last.kind in TRANSIENT or (bool(last.details) and last.kind != CRASH)
        return worth and len(failures) <= self.run.work.retries

    def note(self, **line: Any) -> None:
        """Add a line to the history of the batch."""
        path = self.run.folder / "tries" / f"{self.number}.jsonl"
        _append(path, line)
        self.history.add(line)

    def end(self, put_back: str = "") -> None:
        """Give the batch up: it is over, or it is put back for this reason."""
        if put_back:
            self.note(back=put_back)
        elif not self.open():
            tries = self.run.folder / "tries" / f"{self.number}.jsonl"
            os.replace(tries, self.run.folder / "over" / tries.name)
        else:
            self.note(back="stopped")
        self.claim.release()


class _History:
    """What the lines about a batch say: the cells that are done, and all failures."""

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self.holder: str | None = None
        """The worker that has it, if it did not put it back."""
        self.place: Mapping[str, str] = {}
        self.started = ""
        """Key of the cell that runs."""
        self.done: set[str] = set()
        self.failures: dict[str, tuple[Failure, ...]] = {}
        for line in lines:
            self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        if "take" in line:
            if self.holder is not None and self.started:  # it died
                log = self.place.get(LOG)
                where = f"worker {self.holder} on {self.place.get('host', 'an unknown host')}"
                message = f"{where} ended during the cell" + (f"; log: {log}" if log else "")
                self._failed(self.started, Failure(WORKER_DIED, message))
            self.holder, self.place, self.started = line["take"], line.get("place", {}), ""
        elif "back" in line:
            self.holder, self.started = None, ""
        elif "start" in line:
            self.started = line["start"]
        elif "done" in line:
            self.done.add(line["done"])
            self.started = ""
        elif "failed" in line:
            self._failed(line["failed"], Failure(line["kind"], line["message"], line["details"]))
            self.started = ""

    def _failed(self, key: str, failure: Failure) -> None:
        self.failures[key] = (*self.failures.get(key, ()), failure)


class EventWriter:
    """The file of events of one worker, complete lines at any moment."""

    def __init__(self, run: SharedRun, worker: str) -> None:
        self.path = run.folder / "events" / f"{worker}.jsonl"

    def write(self, event: Event) -> None:
        """Add an event."""
        _append(self.path, {**asdict(event), "metrics": dict(event.metrics)})


@dataclass
class EventReader:
    """Reads the events of all workers, each once."""

    run: SharedRun
    _read: dict[Path, int] = field(default_factory=dict)
    """Bytes read so far by file."""

    def new(self) -> Iterator[Event]:
        """The events since the last call."""
        for path in sorted((self.run.folder / "events").glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                content = file.read()
            complete = content[: content.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(complete)
            for line in _parsed(complete):
                with suppress(TypeError):
                    yield Event(**line)


def open_runs(output: Path, engine: str | None = None) -> list[SharedRun]:
    """The runs below a folder of records that are not closed, oldest first."""
    pattern = f"{engine or '*'}-*-*-*/work.pickle"
    return [SharedRun(path.parent) for path in sorted((output.absolute() / RUNS).glob(pattern))]


def _append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line of JSON; a partial line that a killed writer left is ended first."""
    data = json.dumps(line).encode() + b"\n"
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                data = b"\n" + data
        file.write(data)


def _parsed(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        with suppress(ValueError):  # a killed writer left a part
            parsed = json.loads(line)
            if isinstance(parsed, dict):
                yield parsed
