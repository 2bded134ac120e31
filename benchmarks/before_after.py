"""The train step of this tree against that of an earlier commit, in turn, in processor time.

Each tree has a process of its own, with its own code and its own benchmarks, on the same random
model, classes and images. They take steps in turn (A B, then B A), one thread each, so that what
else runs on the machine meets both. A pair of steps gives one ratio; the table shows their
geometric mean with its 95 % interval. The tensor operations of a training of two steps are counted
too: no other program disturbs their number.

    python benchmarks/before_after.py 5b1fd0f
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from report import RESULTS, environment, machine_load, ratio, table, write_report

HERE = Path(__file__).parents[1]
STEPPER = """
import json, sys
from dataclasses import replace
import torch
from generated_inputs import make_clip
from plain_step import MethodSetting
from step import our_steps
from torch.utils._python_dispatch import TorchDispatchMode
torch.set_num_threads(1)
clip = make_clip(sys.argv[1])

class Counted(TorchDispatchMode):
    operations = 0

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        self.operations += 1
        return operation(*arguments, **(options or {}))

print(flush=True)
for line in sys.stdin:
    name, classes, batch, count = json.loads(line)
    setting = MethodSetting.of(name, clip)
    if batch:
        setting = replace(setting, recipe=replace(setting.recipe, batch=batch))
    if count:
        with Counted() as counted:
            our_steps(setting, classes, 2)
        answer = counted.operations
    else:
        answer = our_steps(setting, classes, 2)[1].cpu
    print(json.dumps([setting.recipe.batch, answer]), flush=True)
"""
"""Takes [method, classes, images of a step, whether to count] a line. Answers with the images and
the seconds of the second of two steps (the first has the set-up in it), or the operations of
both."""


class Side:
    """A tree of the project with a process that takes steps in it."""

    def __init__(self, tree: Path, model: str) -> None:
        roots = (".", "benchmarks", "methods", "datasets", "tasks")
        path = os.pathsep.join(str(tree / root) for root in roots)
        self.process = subprocess.Popen(
            [sys.executable, "-c", STEPPER, model],
            cwd=tree,  # it comes before PYTHONPATH
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def step(
        self, method: str, options: argparse.Namespace, count: bool = False
    ) -> tuple[int, float]:
        """Images of a step and its processor seconds, or the number of operations of two."""
        assert self.process.stdin is not None
        asked = [method, options.classes, options.batch, count]
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        images, answer = json.loads(self._answer())
        return images, answer

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise SystemExit("a side of the comparison failed; its message is above")
        return line


def measure(sides: Sequence[Side], method: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a method's steps, before and now, round by round."""
    operations = [side.step(method, options, count=True)[1] for side in sides]  # and warm up
    pairs: list[tuple[float, float]] = []
    images = 0
    for at in range(options.rounds):
        seconds = [0.0, 0.0]
        for side in (0, 1) if at % 2 else (1, 0):
            images, seconds[side] = sides[side].step(method, options)
        pairs.append((seconds[0], seconds[1]))
    return {
        "method": method,
        "images": images,
        "operations": operations,
        "pairs": pairs,
        **ratio([now / before for before, now in pairs]),
    }


def markdown(result: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            row["method"],
            str(row["images"]),
            *map("{:,}".format, row["operations"]),
            f"{min(a for a, _ in row['pairs']):.2f} s",
            f"{min(b for _, b in row['pairs']):.2f} s",
            f"**{row['ratio']:.3f}**",
            f"{row['low']:.3f} to {row['high']:.3f}",
        ]
        for row in result["rows"]
    ]
    return [
        f"A train step (forward, backward, optimizer) on {result['model']} with "
        f"{result['classes']} classes, processor seconds in one thread, quickest of each: commit "
        f"`{result['before']}` and `{result['now']}`, {result['rounds']} pairs of steps, in turn. "
        "A ratio below 1 is faster than before. Operations are the tensor operations of two steps.",
        "",
        *table(
            [
                *("method", "images", "operations before", "now"),
                *("before", "now", "now / before", "95 % interval"),
            ],
            rows,
        ),
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit", help="the earlier commit")
    parser.add_argument("--methods", nargs="+", default=["coop", "maple", "rpp"])
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--batch", type=int, default=0, help="images of a step [the recipe's]")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of steps of each method")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(words)
    load = machine_load()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        earlier = Path(folder) / "earlier"
        _git("worktree", "add", "--detach", str(earlier), options.commit)
        stack.callback(_git, "worktree", "remove", "--force", str(earlier))
        sides = [stack.enter_context(Side(tree, options.model)) for tree in (earlier, HERE)]
        rows = [measure(sides, method, options) for method in options.methods]
    result = {
        "model": options.model,
        "classes": options.classes,
        "rounds": options.rounds,
        "before": _git("rev-parse", "--short", options.commit),
        "now": _git("rev-parse", "--short", "HEAD"),
        "rows": rows,
        "load": [load, machine_load()],
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(
        options.output, "before_after", "Train step before and now", result, markdown(result)
    )


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
