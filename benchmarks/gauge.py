"""Seconds and memory of a piece of work, in this process or in one of its own.

On a machine that others use too, wall time mostly measures them. So ratios are of processor time,
in one thread, where no thread spins while it waits for another.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rppbench.execution.peak_memory import peak_bytes, reset_peak


@dataclass(frozen=True)
class Taken:
    """What a piece of work took."""

    cpu: float
    """Processor seconds."""
    wall: float
    """Seconds of wall time."""
    peak: int = 0
    """Peak bytes of resident memory above those before the work."""

    def times(self, cpu_and_memory: float) -> Taken:
        """The cost of so many times the same work, declared and not measured."""
        more = cpu_and_memory
        return Taken(self.cpu * more, self.wall * more, round(self.peak * more))

    def plus(self, other: Taken) -> Taken:
        return Taken(self.cpu + other.cpu, self.wall + other.wall, self.peak + other.peak)

    def json(self) -> dict[str, Any]:
        return asdict(self)


def taken(run: Callable[[], Any]) -> Taken:
    """Run it once."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what earlier work freed would hide what this one takes
    reset_peak("cpu")
    before, wall, cpu = peak_bytes("cpu"), time.perf_counter(), time.process_time()
    run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Taken(cpu, wall, peak_bytes("cpu") - before)


def least(runs: Sequence[Taken]) -> Taken:
    """The quickest run, with the highest peak of all."""
    quickest = min(runs, key=lambda run: run.cpu)
    return Taken(quickest.cpu, quickest.wall, max(run.peak for run in runs))


def child(script: str, words: Sequence[str]) -> dict[str, Any]:
    """The JSON object that a script prints last, in its own process; SystemExit if it fails.

    With `$BENCHMARKS_TOGETHER` it runs in this process, which is quick and measures nothing.
    """
    if os.environ.get("BENCHMARKS_TOGETHER"):
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            importlib.import_module(Path(script).stem).main(words)
        found: dict[str, Any] = json.loads(told.getvalue().splitlines()[-1])
        return found
    done = subprocess.run(
        [sys.executable, script, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        line = f"{Path(script).name} {' '.join(words)} failed (exit {done.returncode})"
        raise SystemExit(f"{line}\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
