"""Cost of folders with very many records: tables, plans, finished grids, and writing one more.

Each command is a process of its own and runs once on a grid that is finished (`generated_records`).
`leaderboard` runs twice: cold, it compares all pairs of rows; warm, it finds those tests kept.

    python benchmarks/many_records.py --cells 10000 100000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from generated_records import ROWS, seeds, words, write_records
from report import GIB, RESULTS, Goal, environment, machine_load, table, write_report
from usage import run_child

from rppbench.records.store import Store

FORMS = {"lines": "JSON Lines", "files": "a file per cell"}
GOAL_CELLS, GOAL_SECONDS = 100_000, 20.0
"""Goal: processor seconds of each warm command on so many cells."""
COLD = "leaderboard, cold"
"""The first one, which has no goal of its own: what it costs depends on rows and images."""
WRITES = 50


def measured(words: Sequence[str], folder: Path) -> dict[str, float]:
    """Processor seconds and peak memory of one command; SystemExit if it fails."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rppbench", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RPPBENCH_CACHE": str(folder / "cache")},
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words[0]} failed (exit {process.returncode})")
    return {"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}


def commands(asked: Sequence[str]) -> dict[str, list[str]]:
    """The words of the measured commands; `asked` are those of the grid."""
    return {
        COLD: ["leaderboard"],
        "leaderboard": ["leaderboard"],
        "compare": ["compare", ROWS[0], ROWS[-1]],
        "report": ["report"],
        "plan": ["plan", *asked],
        "run again": ["run", *asked],
    }


def writing(folder: Path) -> float:
    """Processor milliseconds of writing a record beside those of the folder."""
    store = Store(folder)
    record = next(one for one in store.all()[0] if one.status == "ok")
    others = [replace(record.cell, seed=10**6 + n) for n in range(WRITES + 1)]
    store.write(replace(record, cell=others.pop()))  # the first one lists its folder
    began = time.process_time()
    for cell in others:
        store.write(replace(record, cell=cell))
    return 1000 * (time.process_time() - began) / WRITES


def row(count: int, form: str, skipped: Sequence[str]) -> dict[str, Any]:
    """All measurements of one folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = seeds(count)
        # In a process of its own: the peak of a command cannot be below that of this process.
        made = run_child(__file__, ["--make", str(folder / "runs"), str(count), form])
        used = {
            title: measured(one, folder)
            for title, one in commands(words(chosen)).items()
            if title not in skipped
        }
        return {
            "cells": made["cells"],
            "form": form,
            "commands": used,
            "write_ms": run_child(__file__, ["--writing", str(folder / "runs")])["write_ms"],
        }


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """The goals of this part, with what was measured."""
    reached = []
    for one in result["rows"]:
        if one["cells"] < 0.9 * GOAL_CELLS:
            continue
        for title, used in one["commands"].items():
            if title == COLD:
                continue
            subject = f"`{title}` of {one['cells']:,} records, {FORMS[one['form']]}"
            good = used["cpu"] < GOAL_SECONDS and used["peak"] < GIB
            spent = f"{used['cpu']:.1f} s, {used['peak'] / GIB:.2f} GiB"
            reached.append(Goal(subject, spent, f"{GOAL_SECONDS:.0f} s, 1 GiB", good))
    return reached


def markdown(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for one in result["rows"]:
        place = [f"{one['cells']:,}", FORMS[one["form"]]]
        for title, used in one["commands"].items():
            rows.append([*place, title, f"{used['cpu']:.1f} s", f"{used['peak'] / GIB:.2f} GiB"])
        if "write_ms" in one:
            rows.append([*place, "one more record written", f"{one['write_ms']:.1f} ms", ""])
    return [
        f"A finished grid of {len(ROWS)} rows on eleven data sets, with as many seeds as fill it."
        " Each command is a process of its own. `leaderboard, cold` compares all pairs of rows;"
        " every other command finds those tests kept. `run again` finds nothing to do and makes the"
        " pages again.",
        "",
        *table(("records", "layout", "command", "processor time", "peak memory"), rows),
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--skip", nargs="*", default=[], help="commands that are not measured")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--writing", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.make:
        folder, count, form = options.make
        made = write_records(Path(folder), seeds(int(count)), lines=form == "lines")
        print(json.dumps({"cells": made}))
        return
    if options.writing:
        print(json.dumps({"write_ms": writing(options.writing)}))
        return
    before = machine_load()
    result = {
        "rows": [
            row(count, form, options.skip) for count in options.cells for form in options.forms
        ],
        "load": [before, machine_load()],
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(options.output, "many_records", "Many records", result, markdown(result))


if __name__ == "__main__":
    main()
