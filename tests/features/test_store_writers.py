"""Several processes that write to one store, some of them killed: real processes and signals."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rppbench.features.files import problems, stored_files
from rppbench.features.store import FeatureStore

KEY = {"kind": "images", "dataset": "toy"}
NAMES = [str(number) for number in range(40)]
WIDTH = 2048


def rows_of(names: Sequence[str]) -> Tensor:
    return torch.tensor([int(name) for name in names], dtype=torch.float32)[:, None].expand(
        -1, WIDTH
    )


def ask(folder: Path, names: Sequence[str], seconds: float = 0.0) -> None:
    """Get rows and check them; note which had to be computed."""

    def compute(picks: Sequence[int]) -> list[Tensor]:
        time.sleep(seconds)
        with (folder / "computed.txt").open("a") as file:
            file.write("".join(f"{names[at]}\n" for at in picks))
        return some_of(names, picks)

    assert torch.equal(FeatureStore(folder).rows(KEY, names, compute), rows_of(names))


def some_of(names: Sequence[str], picks: Sequence[int]) -> list[Tensor]:
    return [rows_of([names[at] for at in picks])]


def work(connection: Connection[Any, Any], folder: Path, seed: int) -> None:
    """Ask for the same rows as all others, report it, then ask for lists of its own for ever."""
    connection.recv()
    ask(folder, NAMES[:20], seconds=0.5)
    connection.send("done")
    stream = random.Random(seed)
    connection.recv()
    while True:
        key = {"epoch": stream.randrange(100)}
        store = FeatureStore(folder)
        names = stream.sample(NAMES, stream.randrange(1, len(NAMES)))
        rows = store.rows({**KEY, **key}, names, partial(some_of, names))
        if not torch.equal(rows, rows_of(names)):
            connection.send("wrong")


def test_writers_share_their_work_and_killed_ones_leave_a_valid_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = []
    for seed in range(3):
        parent_end, child_end = context.Pipe()
        process = context.Process(target=work, args=(child_end, tmp_path, seed), daemon=True)
        process.start()
        child_end.close()  # so that a worker that fails is seen
        workers.append((process, parent_end))
    for _, parent_end in workers:
        parent_end.send("go")
    assert [parent_end.recv() for _, parent_end in workers] == ["done"] * 3
    computed = (tmp_path / "computed.txt").read_text().split()
    assert sorted(computed) == sorted(NAMES[:20])  # once, though all three asked at one time

    stream = random.Random(0)
    for _, parent_end in workers:
        parent_end.send("go")
    time.sleep(0.3)
    for process, parent_end in workers:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)  # others continue: a dead one holds no lock
        process.join()
        assert process.exitcode == -signal.SIGKILL
        with pytest.raises(EOFError):
            parent_end.recv()  # it never reported a wrong row
        before = len(stored_files(tmp_path))
        if process is not workers[-1][0]:
            deadline = time.monotonic() + 20
            while len(stored_files(tmp_path)) <= before and time.monotonic() < deadline:
                time.sleep(0.05)
            assert len(stored_files(tmp_path)) > before
        time.sleep(stream.random() * 0.05)
    files = stored_files(tmp_path)
    assert len(files) > 3
    assert not any(problems(files))
    ask(tmp_path, NAMES)
    assert len((tmp_path / "computed.txt").read_text().split()) == len(NAMES)
