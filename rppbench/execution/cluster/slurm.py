"""`--engine slurm`: each worker is a job of an array, submitted with submitit.

Only sbatch, squeue, scancel and scontrol are used, so a cluster without accounting (sacct) will do.
A job that is preempted or reaches its time limit puts its batch back and is queued again; the
training resumes from the last saved step.
"""

from __future__ import annotations

import getpass
import json
import math
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from rppbench.contracts.ranges import Range
from rppbench.errors import UsageError
from rppbench.execution.cluster.serving import Server
from rppbench.execution.cluster.session import Address, Session, free_port
from rppbench.execution.cluster.shared_engine import SharedEngine, last_lines
from rppbench.execution.cluster.shared_run import SharedRun
from rppbench.files.atomic import write_atomically
from rppbench.files.sizes import parse_size
from rppbench.records.record import LOG

LEAST_MINUTES = 5
"""Shortest time limit: the signal comes 90 s before the end, and loading takes a while."""
MOST_TASKS = 1000
"""Slurm's own limit of an array (MaxArraySize, 1001) unless the site has raised it."""
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "srun")
MEETING_SECONDS = 600.0
"""Longest time between the starts of two tasks of a job."""
MANY = 10**6
"""Time-outs after which a job is not queued again: it is the user who ends it."""
TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


class Slurm(SharedEngine):
    """Jobs of a Slurm cluster that share the folder of records with this machine.

    A job runs many batches, so that models load once. Options for sbatch without one of their own
    are given as extra=account=lab;qos=high.
    """

    name, title = "slurm", "Jobs of a Slurm cluster"
    persistent = True

    def __init__(
        self,
        *,
        partition: str = "",
        time: str = "4:00:00",
        memory: str = "16GB",
        gpus: Annotated[int, Range(0, 1024)] = 0,
        cpus: Annotated[int, Range(1, 1024)] = 4,
        jobs: Annotated[int, Range(1, MOST_TASKS)] = 8,
        batches: Annotated[int, Range(0)] = 0,
        retries: Annotated[int, Range(0, 1000)] = 2,
        share: Annotated[int, Range(1, 4096)] = 1,
        nodes: Annotated[int, Range(1, 1024)] = 1,
        extra: str = "",
    ) -> None:
        """`gpus` and `memory` are per node, `cpus` per process; `batches` per job, 0 without limit.

        `share` processes on `nodes` nodes share each training.
        """
        self.partition, self.memory, self.gpus, self.cpus = partition, memory, gpus, cpus
        self.jobs, self.batches, self.retries = jobs, batches, retries
        self.share, self.nodes = share, nodes
        self.minutes, self.gigabytes = _minutes(time), parse_size(memory, "memory") / 1e9
        self.extra = _fields(extra)
        if share % nodes:
            raise UsageError(f"{share} processes cannot be divided among {nodes} nodes")
        if gpus and share // nodes > gpus:
            raise UsageError(
                f"share={share} on {nodes} nodes is {share // nodes} processes a node, which need "
                f"a GPU each, but gpus={gpus}"
            )

    def obstacle(self) -> str:
        missing = [command for command in COMMANDS if shutil.which(command) is None]
        if missing:
            return f"no {', '.join(missing)} on this machine: run it where jobs are submitted"
        if find_spec("submitit") is None:
            return "submitit is not installed: pip install 'rppbench[slurm]'"
        return ""

    def count(self, batches: int) -> int:
        if not self.batches:
            return min(self.jobs, batches)
        return min(math.ceil(batches / self.batches), MOST_TASKS)

    def needs(self) -> str:
        each = [f"{self.cpus * self.share} cores", f"{self.memory} of memory"]
        each += [f"{self.gpus * self.nodes} GPUs"] if self.gpus else []
        each += [f"{self.share} processes on {self.nodes} nodes"] if self.share > 1 else []
        return f"{', '.join(each)} and {self.minutes} minutes of Slurm, {self.jobs} jobs at a time,"

    def start(self, run: SharedRun, workers: Sequence[str]) -> None:
        import submitit

        executor = submitit.AutoExecutor(
            run.log_folder, cluster="slurm", slurm_max_num_timeout=MANY
        )
        parameters: dict[str, Any] = {
            "name": "rppbench",
            "timeout_min": self.minutes,
            "mem_gb": self.gigabytes,
            "cpus_per_task": self.cpus,
            "nodes": self.nodes,
            "tasks_per_node": self.share // self.nodes,
            "slurm_array_parallelism": self.jobs,
            "stderr_to_stdout": True,
            "slurm_srun_args": ["--kill-on-bad-exit=1"],
            "slurm_additional_parameters": {"requeue": True, **self.extra},
        }
        if self.gpus:
            parameters["gpus_per_node"] = self.gpus
        if self.partition:
            parameters["slurm_partition"] = self.partition
        executor.update_parameters(**parameters)
        try:
            with executor.batch():
                jobs = [
                    executor.submit(SlurmWorker(str(run.folder), name, self.batches, self.share))
                    for name in workers
                ]
            ids = {name: job.job_id for name, job in zip(workers, jobs, strict=True)}
        except (subprocess.SubprocessError, RuntimeError) as error:
            run.close()
            raise UsageError(f"sbatch took no jobs: {error}") from error
        write_atomically(_jobs_file(run), json.dumps({**_jobs(run), **ids}))

    def started(self, run: SharedRun) -> Sequence[str]:
        return list(_jobs(run))

    def alive(self, run: SharedRun) -> set[str]:
        names = {job: name for name, job in _jobs(run).items()}
        words = ["squeue", "--noheader", "--array", "--format=%i|%T|%r"]
        listed = _output([*words, f"--user={getpass.getuser()}"])
        if listed is None:  # the controller is away for a moment
            return set(names.values())
        alive = set()
        for line in listed.splitlines():
            job, _, reason = line.split("|", 2)
            if job not in names:
                continue
            if "launch failed" in reason:  # it would wait until somebody releases it
                _output(["scancel", job])
            else:
                alive.add(names[job])
        return alive

    def stop(self, run: SharedRun) -> None:
        if jobs := {job.partition("_")[0] for job in _jobs(run).values()}:
            _output(["scancel", *sorted(jobs)])

    def why_ended(self, run: SharedRun, worker: str) -> str:
        job = _jobs(run).get(worker, "")
        if log := last_lines(run.log_folder / f"{job}_0_log.out"):
            return log
        shown = _output(["scontrol", "--oneliner", "show", "job", job]) or ""
        facts = re.findall(r"(?:JobState|Reason|NodeList)=\S+", shown)
        return f"job {job}: {', '.join(facts)}" if facts else ""


class SlurmWorker:
    """What a job calls; submitit calls `checkpoint` when the job is about to be ended."""

    def __init__(self, folder: str, name: str, batches: int, share: int) -> None:
        self.folder, self.name, self.batches, self.share = folder, name, batches, share
        self.running: Server | Session | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "running": None}

    def __call__(self) -> None:
        import submitit

        folder = Path(self.folder)
        place = submitit.JobEnvironment()
        log = folder / "logs" / f"{place.job_id}_0_log.out"
        relative = log.relative_to(folder.parents[1]).as_posix()
        os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
        if self.share == 1:
            self.running = Server(folder, self.name, {"job": place.job_id, LOG: relative})
            self.running.serve(self.batches)
            return
        ranks = (place.global_rank, place.num_tasks, place.local_rank)
        address = _meeting(folder, self.name, place)
        self.running = Session(folder, self.name, relative, *ranks, address)
        if status := self.running.wait():
            raise SystemExit(status)

    def checkpoint(self) -> Any:
        """Put the batch back; the job is queued again with the same work."""
        import submitit

        if isinstance(self.running, Session):
            self.running.halt()
        elif self.running is not None:
            self.running.halt("the job was preempted or reached its time limit")
        return submitit.helpers.DelayedSubmission(self)


def _meeting(folder: Path, name: str, place: Any) -> Address:
    """Where the tasks of a job meet; the first one writes it where the others find it.

    Names of nodes may be known to Slurm alone, so it is the name that its machine has.
    """
    restart = os.environ.get("SLURM_RESTART_COUNT", "0")
    path = folder / "workers" / f"{name}-{place.job_id}-{restart}.address"
    if place.global_rank == 0:
        write_atomically(path, f"{socket.gethostname()} {free_port()}")
    end = time.monotonic() + MEETING_SECONDS
    while not path.exists():
        if time.monotonic() > end:
            raise SystemExit(f"the first process of job {place.job_id} did not start")
        time.sleep(0.5)
    host, port = path.read_text().split()
    return host, int(port)


def _minutes(text: str) -> int:
    """A time limit as Slurm spells it, in minutes. UsageError if it is too short."""
    match = TIME.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"option 'time' of 'slurm' is minutes, H:MM:SS or D-HH:MM:SS, not {text!r}"
        )
    days, *parts = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, (*numbers, 0)[:2]
    total = (int(days or 0) * 24 + hours) * 60 + minutes + math.ceil(seconds / 60)
    if total < LEAST_MINUTES:
        raise UsageError(
            f"option 'time' of 'slurm' must be at least {LEAST_MINUTES} minutes, not {text!r}: a "
            "job is warned 90 seconds before its end, and models have to load first"
        )
    return total


def _fields(text: str) -> dict[str, str | bool]:
    """'account=lab;exclusive' as sbatch's options."""
    fields: dict[str, str | bool] = {}
    for part in filter(None, (one.strip() for one in text.split(";"))):
        name, equals, value = part.partition("=")
        fields[name.lstrip("-")] = value if equals else True
    return fields


def _jobs_file(run: SharedRun) -> Path:
    return run.folder / "jobs.json"


def _jobs(run: SharedRun) -> Mapping[str, str]:
    """The id of the job of each worker by name."""
    try:
        jobs: Mapping[str, str] = json.loads(_jobs_file(run).read_text())
    except FileNotFoundError:
        return {}
    return jobs


def _output(words: Sequence[str]) -> str | None:
    """What a command of Slurm prints; None if it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
