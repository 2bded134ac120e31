"""Reports of benchmarks: goals, tables, facts of the machine, and the files of results."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import exp, log, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rppbench.files.atomic import write_atomically
from rppbench.stats.distributions import t_quantile

RESULTS = Path(__file__).parent / "results"
GIB, MIB = 2**30, 2**20


@dataclass(frozen=True)
class Goal:
    """A goal of speed: what was measured, its value, the goal, and whether it was reached."""

    what: str
    measured: str
    goal: str
    reached: bool

    def row(self) -> list[str]:
        return [self.what, self.measured, self.goal, "yes" if self.reached else "**no**"]


def environment(*packages: str) -> dict[str, str]:
    """Versions of the packages and of Python, and the machine in one line."""
    return {
        **{name: version(name) for name in packages},
        "python": platform.python_version(),
        "machine": machine(),
    }


def machine() -> str:
    """'Linux x86_64, AMD EPYC, 2 cores, 23 GiB'."""
    facts = [f"{platform.system()} {platform.machine()}"]
    if model := _field("/proc/cpuinfo", "model name"):
        facts.append(model)
    facts.append(f"{os.cpu_count()} cores")
    if total := _field("/proc/meminfo", "MemTotal"):
        facts.append(f"{int(total.split()[0]) * 1024 / GIB:.0f} GiB")
    return ", ".join(facts)


def machine_load() -> float:
    """The load average of the last minute: processes that wanted a core, this one included."""
    return round(os.getloadavg()[0], 1)


def ratio(ratios: Sequence[float]) -> dict[str, float]:
    """The geometric mean of ratios of paired runs, with its 95 % interval (t, of logarithms)."""
    logs = [log(one) for one in ratios]
    middle = fmean(logs)
    half = t_quantile(len(logs) - 1, 0.95) * stdev(logs) / sqrt(len(logs)) if len(logs) > 1 else 0.0
    return {"ratio": exp(middle), "low": exp(middle - half), "high": exp(middle + half)}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def write_report(
    folder: Path, name: str, title: str, result: dict[str, Any], lines: Sequence[str]
) -> None:
    """Write NAME.json with all of `result`, and NAME.md with the lines; print the latter.

    Where `result` has the machine's `load` before and after the run, it is added to the lines.
    """
    if "load" in result:
        before, after = result["load"]
        lines = [*lines, "", f"Load of the machine: {before} to {after}."]
    described = [f"{key} {value}" for key, value in result["environment"].items()]
    text = "\n".join([f"# {title}", "", *lines, "", ", ".join(described), ""])
    write_atomically(folder / f"{name}.json", json.dumps(result, indent=1) + "\n")
    write_atomically(folder / f"{name}.md", text)
    print(text, flush=True)


def _field(file: str, field: str) -> str | None:
    """The first value of a field in a file below /proc; None on other systems than Linux."""
    if not Path(file).exists():
        return None
    for line in Path(file).read_text().splitlines():
        if line.startswith(field):
            return line.partition(":")[2].strip()
    return None
