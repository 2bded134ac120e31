"""Measurement of seconds and peak memory of a piece of work, in this process or in a new one.

Ratios are of processor time in one thread: on a shared machine wall time depends on other
programs, and with several threads one may spin while it waits for another.
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
class Usage:
    """Time and memory that a piece of work used."""

    cpu: float
    """Processor seconds."""
    wall: float
    """Wall-clock seconds."""
    peak: int = 0
    """Peak resident memory minus the resident memory before, in bytes."""

    def times(self, factor: float) -> Usage:
        """Usage of `factor` times the same work: extrapolated, not measured."""
        return Usage(self.cpu * factor, self.wall * factor, round(self.peak * factor))

    def plus(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.wall + other.wall, self.peak + other.peak)

    def json(self) -> dict[str, Any]:
        return asdict(self)


def usage_of(run: Callable[[], Any]) -> Usage:
    """Run a piece of work once, and measure it."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(
            0
        )  # freed memory that is still resident would hide what this work uses
    reset_peak("cpu")
    before, wall, cpu = peak_bytes("cpu"), time.perf_counter(), time.process_time()
    run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Usage(cpu, wall, peak_bytes("cpu") - before)


def quickest(runs: Sequence[Usage]) -> Usage:
    """The run with the least processor time, with the highest peak of all runs."""
    best = min(runs, key=lambda run: run.cpu)
    return Usage(best.cpu, best.wall, max(run.peak for run in runs))


def run_child(script: str, words: Sequence[str]) -> dict[str, Any]:
    """Run a script in a new process: the JSON object in its last line. SystemExit if it fails.

    With `$BENCHMARKS_IN_ONE_PROCESS` it runs in this process, which is quick but measures nothing.
    """
    if os.environ.get("BENCHMARKS_IN_ONE_PROCESS"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            importlib.import_module(Path(script).stem).main(words)
        printed: dict[str, Any] = json.loads(output.getvalue().splitlines()[-1])
        return printed
    done = subprocess.run(
        [sys.executable, script, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        line = f"{Path(script).name} {' '.join(words)} failed (exit {done.returncode})"
        raise SystemExit(f"{line}\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
