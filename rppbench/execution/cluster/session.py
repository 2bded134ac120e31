"""One of several processes that share each training of a shared run (`share` of an engine).

    python -m rppbench.execution.cluster.session RUN NAME

The environment has the variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
MASTER_PORT. The first process takes the batches; the others help with its trainings.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.contracts.engine import CellGroup, Report
from rppbench.errors import LostError, OutputError
from rppbench.execution.cluster.serving import Server, Try
from rppbench.records.record import LOG, Failure

if TYPE_CHECKING:
    from rppbench.execution.runner import Runner

LOG_VARIABLE = "RPPBENCH_LOG"

Address = tuple[str, int]
"""Host and port."""


class Session:
    """Runs this module in a process of its own, which ends with it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        log: str,
        rank: int,
        size: int,
        local_rank: int,
        address: Address,
    ) -> None:
        """Process `rank` of `size`, which meet at an address. `log` is its file, for records."""
        module = "rppbench.execution.cluster.session"
        host, port = address
        numbers = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": local_rank, "MASTER_PORT": port}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(folder), name],
            env={
                **os.environ,
                **{variable: str(number) for variable, number in numbers.items()},
                "MASTER_ADDR": host,
                "TORCHELASTIC_RUN_ID": name,
                LOG_VARIABLE: log,
            },
        )

    def wait(self) -> int:
        """Its exit status: 0 when no batch is open."""
        return self.process.wait()

    def halt(self) -> None:
        """End it now; the first process puts its batch back."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def free_port() -> int:
    """A port that nobody listens on now, where the processes of a group meet."""
    with socket.socket() as free:
        free.bind(("", 0))
        port: int = free.getsockname()[1]
    return port


def main(folder: str, name: str) -> int:
    """Take part in the run. 1 if another process was lost, 2 if records cannot be written."""
    from rppbench.execution.runner import follow
    from rppbench.training.distributed import joined, own_device

    rank = int(os.environ["RANK"])
    place = {LOG: os.environ[LOG_VARIABLE]}
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    server = Server(Path(folder), name if rank == 0 else f"{name}.{rank}", place)
    if not server.enter():
        return 1
    runner: Runner = pickle.loads(server.run.work.job)  # the one job whose trainings can be shared
    runner.place = server.place
    runner.device = own_device(runner.device)
    try:
        with joined(runner.device) as runner.group:
            if not runner.group.first:
                follow(runner)
                return 0
            signal.signal(signal.SIGTERM, lambda number, frame: _halt(server))
            server.take_batches(runner, _sharing(runner))
    except LostError as error:
        print(error, file=sys.stderr)
        os._exit(1)  # the group cannot be taken down in order
    except OutputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _end_with(parent: int) -> None:
    """Exit when the process that started this one is gone: a killed parent cannot end it."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _sharing(runner: Runner) -> Try:
    def attempt(
        cells: CellGroup, earlier: Mapping[str, tuple[Failure, ...]], report: Report
    ) -> None:
        runner.earlier = earlier
        runner(cells, report)
        if runner.group.lost:
            raise LostError("another process of this group is gone; the batch is put back")

    return attempt


def _halt(server: Server) -> None:
    server.halt("stopped by SIGTERM")
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
