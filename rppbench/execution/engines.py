"""Engines: where cells run. An engine schedules batches; the job runs them and writes records."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Annotated

from rppbench import hookimpl
from rppbench.contracts.engine import CellGroup, Engine, Event, Job, Report
from rppbench.contracts.ranges import Range
from rppbench.execution.cluster.ray_engine import Ray
from rppbench.execution.cluster.slurm import Slurm
from rppbench.execution.devices import worker_environments
from rppbench.execution.worker import Worker


class Inline(Engine):
    """Runs the batches one after the other in this process."""

    name, title = "inline", "This process"

    def run(self, job: Job, batches: Sequence[CellGroup], report: Report) -> None:
        failed = False

        def watch(event: Event) -> None:
            nonlocal failed
            failed |= event.phase == "failed"
            report(event)

        for batch in batches:
            job(batch, watch)
            if failed and job.stop_on_failure:
                return


class Processes(Engine):
    """Runs batches in parallel processes of this machine, each with its share of cores and GPUs.

    A worker keeps its models from batch to batch. If one dies, only its own batch fails: the cells
    that it had not finished get a record that says how it died.
    """

    name, title = "processes", "Processes of this machine"

    def __init__(self, *, workers: Annotated[int, Range(1, 1024)] = 2) -> None:
        self.workers = workers

    def run(self, job: Job, batches: Sequence[CellGroup], report: Report) -> None:
        waiting = deque(batches)
        environments = worker_environments(job.device, self.workers, len(batches))
        workers = [Worker(job, environment) for environment in environments]
        stopping = False
        try:
            while True:
                for worker in workers:
                    if waiting and not worker.busy and not stopping:
                        worker.take(waiting.popleft())
                busy = [worker for worker in workers if worker.busy]
                if not busy:
                    break
                ready = wait([worker.connection for worker in busy])
                for worker in busy:
                    if worker.connection not in ready:
                        continue
                    for event in worker.events():
                        stopping |= event.phase == "failed" and job.stop_on_failure
                        report(event)
            for worker in workers:
                worker.dismiss()
        finally:
            for worker in workers:
                worker.stop()


@hookimpl
def rppbench_engines() -> list[type[Engine]]:
    """Engines that come with rppbench."""
    return [Inline, Processes, Slurm, Ray]
