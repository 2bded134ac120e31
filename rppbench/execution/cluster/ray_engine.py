"""`--engine ray`: each worker is an actor that keeps its models from batch to batch."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from rppbench.contracts.engine import CellGroup, Job, Report
from rppbench.contracts.ranges import Range
from rppbench.errors import UsageError
from rppbench.execution.cluster.serving import Server, log_to
from rppbench.execution.cluster.session import Address, Session, free_port
from rppbench.execution.cluster.shared_engine import SharedEngine
from rppbench.execution.cluster.shared_run import SharedRun
from rppbench.execution.cluster.surroundings import import_path
from rppbench.execution.devices import cores
from rppbench.records.record import LOG

CONNECT_SECONDS = 3.0
"""Longest wait for an address to answer when a run is planned."""


class Ray(SharedEngine):
    """Actors of a Ray cluster whose nodes share the folder of records, or of a local one.

    Nodes may join and leave: a lost actor is replaced, and its batch is tried again.
    """

    name, title = "ray", "Actors of a Ray cluster"

    def __init__(
        self,
        *,
        address: str = "",
        workers: Annotated[int, Range(0, 10_000)] = 0,
        cpus: Annotated[float, Range(0, 1024)] = 1.0,
        gpus: Annotated[float, Range(0, 1024)] = 0.0,
        retries: Annotated[int, Range(0, 1000)] = 2,
        share: Annotated[int, Range(1, 4096)] = 1,
    ) -> None:
        """`address`: HOST:PORT or auto; '' is $RAY_ADDRESS, or a cluster of this machine alone.

        `workers`: 0 for as many as fit. `cpus` and `gpus` of each worker may be parts; with
        `share`, of each of the processes that share a training: at most so many, and after the loss
        of a node as many as still fit.
        """
        self.address = address or os.environ.get("RAY_ADDRESS", "")
        self.workers, self.cpus, self.gpus = workers, cpus, gpus
        self.retries, self.share = retries, share
        self.teams: dict[str, _Team] = {}

    def obstacle(self) -> str:
        if find_spec("ray") is None:
            return "ray is not installed: pip install 'rppbench[ray]'"
        host, colon, port = self.address.rpartition("://")[2].rpartition(":")
        if colon and port.isdecimal():
            try:
                socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
            except OSError as error:
                return f"no Ray cluster answers at {self.address}: {error.strerror or error}"
        return ""

    def count(self, batches: int) -> int:
        return min(batches, self.workers or max(1, self._room() // self.share))

    def needs(self) -> str:
        each = f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")
        place = f"of the cluster at {self.address}" if self.address else "of this machine"
        most = "" if self.workers else " (as many workers as fit)"
        processes = f"{self.share} processes with " if self.share > 1 else ""
        return f"{processes}{each} {place}{most}"

    def run(self, job: Job, batches: Sequence[CellGroup], report: Report) -> None:
        if problem := self.obstacle():
            raise UsageError(f"engine 'ray' cannot run here: {problem}")
        if not batches:
            return
        with closing(_Connection(self.address)):
            super().run(job, batches, report)

    def start(self, run: SharedRun, workers: Sequence[str]) -> None:
        size = min(self.share, max(1, self._room()))
        for name in workers:
            self.teams[name] = _Team(run, name, size, self.cpus, self.gpus)

    def alive(self, run: SharedRun) -> set[str]:
        return {name for name, team in self.teams.items() if team.alive()}

    def stop(self, run: SharedRun) -> None:
        for team in self.teams.values():
            team.end()

    def why_ended(self, run: SharedRun, worker: str) -> str:
        return super().why_ended(run, worker) or self.teams[worker].error

    def _room(self) -> int:
        """How many processes fit into the cluster as it is now; this machine without a cluster."""
        ray = sys.modules.get("ray")  # not imported, and maybe not installed: nothing is connected
        if ray is None or not ray.is_initialized():
            return int(cores() // self.cpus) if self.cpus and not self.address else 1
        all_of = ray.cluster_resources()
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        rooms = [int(all_of.get(name, 0) // each) for name, each in wanted.items() if each]
        return min(rooms, default=1)


class _Connection:
    """The connection of this process to a cluster, which it starts if there is no address."""

    def __init__(self, address: str) -> None:
        import ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.own = not ray.is_initialized()
        if not self.own:
            return
        paths = import_path()
        variables = {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
        new = {} if address else {"include_dashboard": False, "num_cpus": cores()}
        try:
            ray.init(
                address=address or "local",
                runtime_env={"env_vars": variables},
                log_to_driver=False,
                logging_level="ERROR",
                **new,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(f"no Ray cluster at {address or 'this machine'}: {error}") from error

    def close(self) -> None:
        """Disconnect; a cluster that was started here ends."""
        import ray

        if self.own:
            ray.shutdown()


class _Team:
    """The actors of one worker: one, or those that share its trainings."""

    def __init__(self, run: SharedRun, name: str, size: int, cpus: float, gpus: float) -> None:
        import ray

        actor = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(_Actor)
        self.error = ""
        self.actors = [actor.remote(str(run.folder), name) for _ in range(size)]
        if size == 1:
            self.waiting = [self.actors[0].serve.remote()]
            return
        # The actors get the address of the first when it has started.
        address = self.actors[0].address.remote()
        self.waiting = [
            one.share.remote(rank, size, address) for rank, one in enumerate(self.actors)
        ]

    def alive(self) -> bool:
        """Whether all its actors wait or run; ends the others after one was lost."""
        import ray

        if not self.waiting:
            return False
        done, self.waiting = ray.wait(
            self.waiting, num_returns=len(self.waiting), timeout=0, fetch_local=False
        )
        for reference in done:
            try:
                ray.get(reference)
            except Exception as error:  # noqa: BLE001  Ray's own and the actor's, of any class
                self.error = str(error).strip().splitlines()[0]
        if self.error:
            self.end()
        return bool(self.waiting)

    def end(self) -> None:
        """End the actors now."""
        import ray

        self.waiting = []
        for actor in self.actors:
            with suppress(Exception):  # the connection may be gone
                ray.kill(actor)


class _Actor:
    """What runs in the process of an actor."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder, self.name = Path(folder), name

    def serve(self) -> None:
        """Run batches until none is open."""
        run = SharedRun(self.folder)
        Server(self.folder, self.name, log_to(run, self.name)).serve()

    def address(self) -> Address:
        """Where the processes of a team meet: this host, and a port that is free now."""
        import ray

        return ray.util.get_node_ip_address(), free_port()

    def share(self, rank: int, size: int, address: Address) -> None:
        """Share the trainings of the run with the other actors of the team."""
        log = log_to(SharedRun(self.folder), self.name if rank == 0 else f"{self.name}.{rank}")
        session = Session(self.folder, self.name, log[LOG], rank, size, 0, address)
        if status := session.wait():
            raise RuntimeError(f"process {rank} of {size} ended with status {status}")
