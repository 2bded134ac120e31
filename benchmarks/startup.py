"""Overhead of rppbench itself: its start, finished cells, and the loop around a training step.

Commands are processes of their own, run in turn; the quickest of each counts. The finished grids
have the committed records of the embedded world.

    python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from generated_inputs import class_names, make_clip
from plain_step import MethodSetting
from report import RESULTS, Goal, environment, machine_load, table, write_report
from step import our_steps
from usage import run_child

from rppbench.records.store import Store

LEADERBOARDS = Path(__file__).parent.parent / "leaderboards"
SMALL, LARGE = ["zeroshot"], ["zeroshot", "coop", "kgcoop", "pomp", "vpt", "maple", "rpp"]
CELLS = {"small": 10, "large": 10 + 6 * 30}
"""Ten data sets, three seeds of what is trained."""
BASE, EACH, LOOP = 1.0, 0.010, 0.05
"""Goals: seconds of a finished grid, and of each of its cells; the loop's share."""


def command(words: Sequence[str], folder: Path) -> dict[str, Any]:
    """Seconds and output of one command; SystemExit if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rppbench", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "RPPBENCH_CACHE": str(folder / "cache")},
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed\n{done.stderr[-2000:]}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"cpu": cpu, "wall": wall, "output": done.stdout + done.stderr}


def grid(methods: Sequence[str], output: str) -> list[str]:
    """Words of a command on all data sets of the embedded world, with three seeds."""
    return ["--method", *methods, "--seed", "1", "2", "3", "--output", output]


def copy_records(methods: Sequence[str], output: Path) -> None:
    """Copy the committed records of these methods to a folder, in files as a run writes them."""
    store = Store(output)
    for record in Store(LEADERBOARDS).all()[0]:
        if record.cell.task.name == "cross-dataset" and record.cell.method.name in methods:
            store.write(record)


def commands(repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of the quickest run of each command."""
    fastest: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for output, methods in (("small", SMALL), ("large", LARGE)):
            copy_records(methods, folder / output)
            planned = command(["plan", *grid(methods, output)], folder)["output"]
            if f"{CELLS[output]} cells: 0 to run" not in planned:  # `run` would begin to learn
                raise SystemExit(f"the committed records do not finish the grid\n{planned[-300:]}")
        timed = {
            "--help": ["--help"],
            "plan, nothing done": ["plan", *grid(SMALL, "none")],
            "leaderboard": ["leaderboard", "--output", "large"],
            "run again, small": ["run", *grid(SMALL, "small")],
            "run again, large": ["run", *grid(LARGE, "large")],
        }
        for _ in range(repeats):
            for title, words in timed.items():
                one = {k: v for k, v in command(words, folder).items() if k != "output"}
                fastest[title] = min(fastest.get(title, one), one, key=lambda run: run["cpu"])
    return fastest


def torch_alone(repeats: int) -> float:
    """Processor seconds of a Python that imports torch and nothing else."""
    code = "import time, torch; print(time.process_time())"
    words = [sys.executable, "-c", code]
    return min(
        float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        for _ in range(repeats)
    )


def loop(options: argparse.Namespace) -> dict[str, Any]:
    """The loop's share of a training step: its steps against bare steps of the same work."""
    torch.set_num_threads(1)
    clip = make_clip(options.model)
    setting = MethodSetting.of("coop", clip)
    names = clip.names(class_names(options.classes))
    method = setting.method(options.classes)
    images = F.normalize(torch.randn(setting.recipe.batch, clip.model.text_projection.shape[1]))
    labels = torch.arange(len(images)) % options.classes
    optimizer = torch.optim.SGD(method.parameters(), lr=0.001, momentum=0.9)

    def bare() -> None:
        texts = clip.text.encode(method.prompts().text, names)  # type: ignore[arg-type]
        loss = F.cross_entropy(clip.scale * images @ texts.T, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    shares, own = [], []
    for _ in range(options.repeats):
        steps = median(t.cpu for t in our_steps(setting, options.classes, options.steps))
        moments = []
        for _ in range(options.steps + 1):  # from end to end: both sides free a step's tensors
            bare()
            moments.append(time.process_time())
        plain = median(b - a for a, b in pairwise(moments))
        shares.append((steps - plain) / steps)
        own.append(steps)
    return {
        "model": options.model,
        "classes": options.classes,
        "step": median(own),
        "share": median(shares),
    }


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """The goals of this part, with what was measured."""
    goals = []
    for size, cells in CELLS.items():
        spent = result["commands"][f"run again, {size}"]["cpu"]
        most = BASE + EACH * cells
        subject = f"finished grid of {cells} cells run again (processor time)"
        goals.append(Goal(subject, f"{spent:.2f} s", f"{most:.2f} s", spent < most))
    for row in result["loop"]:
        subject = f"loop around the step, {row['model']}, {row['classes']} classes"
        share = row["share"]
        goals.append(Goal(subject, f"{share:.1%}", f"{LOOP:.0%}", share < LOOP))
    return goals


def markdown(result: Mapping[str, Any]) -> list[str]:
    rows = [
        [f"`{title}`", f"{one['cpu']:.2f} s", f"{one['wall']:.2f} s"]
        for title, one in result["commands"].items()
    ]
    small, large = (result["commands"][f"run again, {size}"]["cpu"] for size in CELLS)
    each = (large - small) / (CELLS["large"] - CELLS["small"])
    loops = [
        [r["model"], str(r["classes"]), f"{1000 * r['step']:.1f} ms", f"{r['share']:.1%}"]
        for r in result["loop"]
    ]
    return [
        f"The quickest of {result['repeats']} runs. Small: {CELLS['small']} finished cells, large:"
        f" {CELLS['large']}.",
        "",
        *table(["command", "processor time", "on the clock"], rows),
        "",
        f"A finished cell costs {1000 * each:.1f} ms. A Python that imports torch and nothing else"
        f" takes {result['torch']:.2f} s: methods are torch modules, so what names them loads it,"
        " and that is the limit of `plan` and of running a finished grid again.",
        "",
        "CoOp's step with stored image features, by the training loop and bare (the same encoder,"
        " loss and optimiser, no draws, records or course); medians, in turn:",
        "",
        *table(["model", "classes", "step", "share of the loop"], loops),
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["ViT-B-32", "demo"])
    parser.add_argument("--classes", type=int, default=10, help="of the step: EuroSAT's number")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.model:
        print(json.dumps(loop(options)))
        return
    arguments = [f"--{name}={getattr(options, name)}" for name in ("classes", "steps", "repeats")]
    before = machine_load()
    result = {
        "commands": commands(options.repeats),
        "torch": torch_alone(options.repeats),
        "loop": [run_child(__file__, [*arguments, "--model", model]) for model in options.models],
        "repeats": options.repeats,
        "load": [before, machine_load()],
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(options.output, "startup", "Start and overhead", result, markdown(result))


if __name__ == "__main__":
    main()
