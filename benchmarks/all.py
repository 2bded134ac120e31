"""All benchmarks of speed in one run, and a table of all goals with the measured values.

python benchmarks/all.py            # more than an hour on two otherwise idle cores
python benchmarks/all.py --quick --output try    # a minute: tries every part, measures nothing
python benchmarks/all.py --table    # only the table, from results that exist
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

from report import RESULTS, Goal, environment, table, write_report

PARTS = {
    "step": "train steps with 100, 1,000 and 10,450 classes, and their peak memory",
    "competent": "train steps against stored features and text cut to the longest name",
    "attention": "the text side, way by way",
    "fewshot": "few-shot training from start to end, cold and warm",
    "evaluation": "scoring by ten methods, cold and warm",
    "startup": "start, finished cells, the loop around a step",
    "many_records": "tables, plans and writes in folders of up to 100,000 records",
    "scaling": "growth with classes, images and workers",
    "gpu": "absolute speed, where there is a GPU",
}
QUICK_OPTIONS = {
    "step": "--models demo --classes 8 16 --whole 8 --steps 1 --repeats 1 --jobs 1",
    "competent": "--cases coop,demo,8 maple,demo,8 rpp,demo,8 --rounds 2",
    "attention": "--ways shared packed copied --classes 8 --names 100 --repeats 1",
    "fewshot": "--sets none --model demo --classes 4 --ran 2",
    "evaluation": "--images 12 --part 6 --classes 4 --methods zeroshot coop vpt",
    "startup": "--models demo --steps 2 --repeats 1",
    "many_records": "--cells 1100 --forms lines",
    "scaling": "--model demo --classes 4 8 --images 8 16 --workers",
    "gpu": "--device cpu --precision fp32 --models demo --classes 8 --repeats 1 --side 256",
}
"""Options with which `--quick` runs each part; such numbers mean nothing."""


def read_goals(folder: Path) -> tuple[list[Goal], list[str]]:
    """The goals of all parts that have results, and the names of parts that have none."""
    goals: list[Goal] = []
    missing = []
    for part in PARTS:
        file = folder / f"{part}.json"
        if not file.exists():
            missing.append(part)
            continue
        module: Any = importlib.import_module(part)
        if hasattr(module, "goals"):  # some parts have no goals
            goals += module.goals(json.loads(file.read_text()))
    return goals, missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.quick:
        os.environ["BENCHMARKS_IN_ONE_PROCESS"] = "yes"
        if options.output == RESULTS:
            raise SystemExit("--quick measures nothing: name another folder with --output")
    seconds = {}
    for part in [] if options.table else options.parts:
        started = time.perf_counter()
        print(f"{part}: {PARTS[part]}", flush=True)
        quick = QUICK_OPTIONS[part].split() if options.quick else []
        importlib.import_module(part).main([*quick, "--output", str(options.output)])
        seconds[part] = round(time.perf_counter() - started, 1)
    goals, missing = read_goals(options.output)
    result = {
        "goals": [goal.__dict__ for goal in goals],
        "missing": missing,
        "seconds": seconds,
        "environment": environment("torch", "open_clip_torch"),
    }
    lines = table(("what", "measured", "goal", "reached"), [goal.row() for goal in goals])
    lines += ["", "How it was measured stands on the pages of the parts."]
    if missing:
        lines[-1] += f" Not measured here: {', '.join(missing)}."
    write_report(options.output, "all", "Goals of speed", result, lines)


if __name__ == "__main__":
    main()
