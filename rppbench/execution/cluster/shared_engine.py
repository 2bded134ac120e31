"""Engines whose workers share a folder with the command: the common part of Slurm, Ray and others.

A subclass starts workers, says which are alive and stops them. Each worker calls `Server.serve` (or
runs the command of `worker_command`), takes batches from the run's folder and reports there.
"""

from __future__ import annotations

import sys
import time
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from itertools import count
from pathlib import Path

from rppbench.contracts.engine import CellGroup, Engine, Event, Job, Report
from rppbench.errors import UsageError
from rppbench.execution.cluster.shared_run import EventReader, SharedRun, open_runs

LOOK_SECONDS = 1.0
"""Interval at which the command looks at the folder."""
ALIVE_SECONDS = 5.0
"""Interval at which it asks which workers are alive."""
BARREN_ROUNDS = 3
"""After so many rounds of workers that ended without taking work the run has failed."""
LINES_OF_LOG = 5


def worker_command(run: SharedRun, worker: str) -> list[str]:
    """The command that serves as a worker of this name, on any machine that sees the folder."""
    module = "rppbench.execution.cluster.serving"
    return [sys.executable, "-m", module, str(run.folder), worker]


class SharedEngine(Engine):
    """An engine whose workers take their batches from a folder that all machines see."""

    local = False
    persistent = False
    """Whether workers outlive the command."""
    retries: int
    """How many more times a cell is tried that failed; an option of each engine."""

    @abstractmethod
    def count(self, batches: int) -> int:
        """How many workers to have at a time for so many open batches."""

    @abstractmethod
    def start(self, run: SharedRun, workers: Sequence[str]) -> None:
        """Start workers of these names, or queue them."""

    @abstractmethod
    def alive(self, run: SharedRun) -> Collection[str]:
        """Names of the workers that wait for their start or run."""

    @abstractmethod
    def stop(self, run: SharedRun) -> None:
        """End all workers of the run now."""

    def started(self, run: SharedRun) -> Sequence[str]:
        """Names of all workers that were ever started, for a persistent engine."""
        return run.workers()

    def why_ended(self, run: SharedRun, worker: str) -> str:
        """What the engine knows of a worker's end: the last lines of its log."""
        return last_lines(run.log_folder / f"{worker}.log")

    def run(self, job: Job, batches: Sequence[CellGroup], report: Report) -> None:
        if not batches:
            return
        wanted = {cell.key for batch in batches for cell in batch}

        def relay(event: Event) -> None:
            if event.key in wanted:
                report(event)

        following = self._begin(job, batches, relay)
        try:
            while True:
                following = [one for one in following if not one.look()]
                if not following:
                    break
                time.sleep(LOOK_SECONDS)
        except BaseException:  # Ctrl-C too
            for one in following:
                one.run.stop()
                self.stop(one.run)
                one.run.close()
            raise

    def submit(self, job: Job, batches: Sequence[CellGroup]) -> list[str]:
        if not self.persistent:
            return super().submit(job, batches)
        return [line for one in self._begin(job, batches, _ignore) for line in one.lines()]

    def outlook(self, batches: Sequence[CellGroup], seconds: Sequence[float | None]) -> list[str]:
        if not batches:
            return []
        workers = self.count(len(batches))
        lines = [
            f"{len(batches)} {'batch' if len(batches) == 1 else 'batches'} (cells that share a "
            f"training) on {workers} "
            f"{'worker' if workers == 1 else 'workers'} at a time, {self.needs()} each"
        ]
        known = [one for one in seconds if one is not None]
        if known:
            total = sum(known) * len(batches) / len(known)
            longest = max(known)
            hours = max(total / max(workers, 1), longest) / 3600
            lines.append(
                f"about {total / 3600:.2g} worker hours, {hours:.2g} h on the clock, not counting "
                f"queues ({len(known)} of {len(batches)} estimated)"
            )
        else:
            lines.append("no estimate of the time: there are no records of similar cells")
        return lines

    def needs(self) -> str:
        """What one worker gets, in words."""
        return "one process"

    def _begin(self, job: Job, batches: Sequence[CellGroup], report: Report) -> list[Following]:
        """Start what no living run has in work; all runs to follow."""
        if problem := self.obstacle():
            raise UsageError(f"engine {self.name!r} cannot run here: {problem}")
        live = []
        for run in open_runs(job.output, self.name) if self.persistent else ():
            if not run.stopped and self.alive(run):
                live.append(Following(self, run, report, self.started(run)))
            elif not run.left():  # its command ended before it did
                run.close()
        covered = {key for one in live for number in one.run.left() for key in one.run.keys[number]}
        new = [batch for batch in batches if not all(cell.key in covered for cell in batch)]
        if new:
            run = SharedRun.create(self.name, job, new, self.retries)
            following = Following(self, run, report)
            following.start(self.count(len(new)))
            live.append(following)
        return live


class Following:
    """The command's view of a run: relays events, replaces dead workers, notices the end."""

    def __init__(
        self, engine: SharedEngine, run: SharedRun, report: Report, started: Sequence[str] = ()
    ) -> None:
        self.engine, self.run, self.report = engine, run, report
        self.reader = EventReader(run)
        self.started = list(started)
        self.dead: set[str] = set()
        self.wanted = engine.count(len(run.left()))
        """How many workers were wanted when last asked: more once machines have joined."""
        self.barren = 0
        self.next_question = 0.0
        self.any_alive = True
        self._names: Iterator[str] = (f"w{number}" for number in count(len(self.started)))

    def start(self, workers: int) -> None:
        """Start so many workers more."""
        names = [next(self._names) for _ in range(workers)]
        self.started += names
        self.engine.start(self.run, names)
        self.next_question = time.monotonic() + ALIVE_SECONDS

    def look(self) -> bool:
        """Relay what is new and start what is missing; whether the run is over.

        UsageError if workers end again and again without taking work.
        """
        for event in self.reader.new():
            self.report(event)
        left = self.run.left()
        if not left:
            return self._end()
        if time.monotonic() < self.next_question:
            return False
        self.next_question = time.monotonic() + ALIVE_SECONDS
        alive = set(self.engine.alive(self.run))
        newly_dead = [name for name in self.started if name not in alive | self.dead]
        for name in newly_dead:
            self.run.release(name)
        self.dead.update(newly_dead)
        if self.run.stopped:
            return not alive and self._end()
        wanted = self.engine.count(len(left))
        grown, self.wanted = wanted > self.wanted, wanted
        if (
            (newly_dead or grown)
            and wanted > len(alive)
            and self._worth_starting(newly_dead, alive)
        ):
            self.start(wanted - len(alive))
        return False

    def alive(self) -> bool:
        """Whether any worker waits or runs, as the engine said within the last seconds."""
        if time.monotonic() >= self.next_question:
            self.any_alive = bool(self.engine.alive(self.run))
            self.next_question = time.monotonic() + ALIVE_SECONDS
        return self.any_alive

    def lines(self) -> list[str]:
        """The state of the run, for a person."""
        left, total = len(self.run.left()), len(self.run.keys)
        alive = len(self.engine.alive(self.run))
        hosts = sorted({str(self.run.about(name).get("host")) for name in self.run.workers()})
        name = f"{self.run.folder.parent.name}/{self.run.folder.name}"
        return [
            f"{name}: {total - left} of {total} batches over, {alive} workers waiting or running"
            + (f", on {', '.join(hosts)} so far" if hosts else "")
        ]

    def _worth_starting(self, ended: Sequence[str], alive: Collection[str]) -> bool:
        """Whether others in place of these workers would fare better.

        UsageError if none is alive and these, or those of several rounds, could not work at all.
        """
        reasons = dict.fromkeys(filter(None, map(self.run.problem, ended)))
        if reasons and alive:  # other machines can
            return False
        if not ended or (not reasons and any(self.run.has_worked(name) for name in ended)):
            self.barren = 0
            return True
        self.barren += 1
        if not reasons and self.barren < BARREN_ROUNDS:
            return True
        self.run.stop()
        self.engine.stop(self.run)
        name = ended[-1]
        host = self.run.about(name).get("host", "its machine")
        why = "\n".join(reasons) or self.engine.why_ended(self.run, name)
        raise UsageError(
            f"engine {self.engine.name!r}: worker {name} on {host} cannot work\n"
            f"{why or 'it left no log'}\nlogs: {self.run.log_folder}"
        )

    def _end(self) -> bool:
        for event in self.reader.new():
            self.report(event)
        self.engine.stop(self.run)
        self.run.close()
        return True


def last_lines(log: Path) -> str:
    """The end of a log; '' without one."""
    try:
        lines = log.read_text(errors="backslashreplace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LINES_OF_LOG:])


def _ignore(event: Event) -> None:
    return None
