"""CoOp's few-shot training and test of one set, from start to end, against other ways.

Five processes for each set (`both_sides.py`): the plain side, and a competent user's and ours, each
with an empty feature store and with a full one. Everything counts, the start of Python included.
The embedded world is trained by its complete recipe. The generated set is as large as a real one
and has the published recipe, of which all sides run the first epochs: every epoch after the first
is the same work, so the others are extrapolated from those that ran.

    python benchmarks/fewshot.py --model ViT-B-16 --ran 3
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from both_sides import HEADS, RUNS, bench, cell, resources, run_rows
from generated_inputs import GeneratedDataset, make_clip
from report import RESULTS, Goal, environment, machine_load, table, write_report
from usage import run_child

from rppbench.contracts.recipe import override
from rppbench.execution.peak_memory import peak_bytes
from rppbench.plugins.registry import Registry

EMBEDDED = "demo-2-animals"
RECIPE = "coop-50-1"
"""CoOp's recipe for one image per class."""
AUGMENTED = {"none": f"{RECIPE}, without augmentation", "crop-flip": RECIPE}


def perform(options: argparse.Namespace) -> dict[str, Any]:
    """Train and score once in this process; usage, and the number of correct images."""
    torch.set_num_threads(1)
    clip = make_clip(options.model)
    component = Registry.load().get("methods", "coop")
    size = clip.preprocess.size
    if options.set not in AUGMENTED:
        dataset = Registry.load().get("datasets", options.set)()
        name, shots = "coop-demo-2-few-1", 4
    else:
        dataset, name, shots = GeneratedDataset(options.classes, options.classes, size), RECIPE, 1
    recipe = next(recipe for recipe in component.learning.recipes if recipe.name == name)
    published = recipe.epochs
    if options.set in AUGMENTED:
        recipe = override(recipe, {"epochs": options.ran, "augment": options.set})
    side = RUNS[options.run].side
    work = resources(side, clip, dataset, options.folder / options.run, options.folder / side)
    (options.folder / options.run).mkdir(parents=True)
    moments: list[float] = []

    def notify(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        if phase == "train":
            moments.append(time.process_time())

    learned = bench(
        work,
        cell("coop", dict(recipe.options), recipe, shots, dataset.name, options.model),
        notify,
    )
    learned.fit()
    evaluation = learned.evaluate()
    ran = time.process_time()
    steps = len(moments) // recipe.epochs
    epoch = (moments[-1] - moments[steps - 1]) / max(1, recipe.epochs - 1)
    return {
        "cpu": ran + (published - recipe.epochs) * epoch,
        "ran": ran,
        "epoch": epoch,
        "peak": peak_bytes("cpu"),
        "correct": int((evaluation.ranked[:, 0] == evaluation.labels).sum()),
        "images": len(evaluation.labels),
        "classes": len(dataset.classes),
        "shots": shots,
        "epochs": published,
        "epochs_ran": recipe.epochs,
        "steps": learned.method.cost.steps,
        "recipe": recipe.name,
    }


def compare(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """All runs of a set; SystemExit if they do not agree."""
    model = options.model if name in AUGMENTED else "demo"
    with tempfile.TemporaryDirectory() as folder:
        words = ["--set", name, "--model", model, "--folder", folder]
        for option in ("classes", "ran"):
            words += [f"--{option}", str(getattr(options, option))]
        runs = {}
        for run in RUNS:
            wall = time.perf_counter()
            runs[run] = run_child(__file__, [*words, "--run", run])
            runs[run]["wall"] = time.perf_counter() - wall
            ran, total = runs[run]["ran"], runs[run]["cpu"]
            print(f"{name} {run}: {ran:.1f} s, whole {total:.1f} s", flush=True)
    right = {run["correct"] for run in runs.values()}
    if len(right) > 1:
        raise SystemExit(f"the sides do not agree on {name}: {sorted(right)} images right")
    plain = runs["plain"]
    return {
        "set": name,
        "model": model,
        "runs": runs,
        "cold": plain["cpu"] / runs["cold"]["cpu"],
        "warm": plain["cpu"] / runs["warm"]["cpu"],
        "less_memory": plain["peak"] / runs["cold"]["peak"],
    }


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """The goals, with the measured values."""
    return [
        Goal(
            f"CoOp few-shot end to end, {described(row)}, {kind}",
            f"{row[kind]:.1f} times faster",
            f"{least} times",
            row[kind] >= least,
        )
        for row in result["rows"]
        for kind, least in (("cold", 10), ("warm", 30))
    ]


def described(row: Mapping[str, Any]) -> str:
    """'ViT-B-16, 100 classes x 1 shots, 50 epochs, coop-50-1'."""
    one = row["runs"]["plain"]
    recipe = AUGMENTED.get(row["set"], one["recipe"])
    length = f"{one['epochs']} epochs" if row["set"] in AUGMENTED else f"{one['steps']} steps"
    shape = f"{one['classes']} classes x {one['shots']} shots, {length}"
    return f"{row['model']}, {shape}, {recipe}"


def markdown(result: Mapping[str, Any]) -> list[str]:
    rows = [
        [described(row), *cells]
        for row in result["rows"]
        for cells in run_rows(
            {name: run["cpu"] for name, run in row["runs"].items()},
            {name: run["peak"] for name, run in row["runs"].items()},
        )
    ]
    return [
        "CoOp learned and tested, one process each, one thread, processor seconds with the start of"
        " Python; memory is that of the whole process. Plain encodes images live in every epoch"
        " and runs 77 tokens a class. A competent user stores image features as rppbench does, and"
        " runs every class whole in open_clip's own modules, cut to the longest name. All runs of a"
        " set get as many images right. The embedded world ran from start to end. Of the generated"
        f" sets each run had {result['ran']} epochs; the others are counted as what an epoch after"
        " the first took.",
        "",
        *table(("set", *HEADS), rows),
        "",
        "With augmentation an epoch sees pixels that no epoch before saw, so a cold run must pass"
        " every one of them through the image tower once, as the plain way does: what is left to"
        " save is the text side, and that is the limit of the cold ratio. Another seed, length or"
        " text-side method on the same views is a warm run.",
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sets",
        nargs="+",
        default=[EMBEDDED, *AUGMENTED],
        help="of the embedded world, or the augmentation of the generated one",
    )
    parser.add_argument("--model", default="ViT-B-16", help="of the generated sets")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--ran", type=int, default=3, help="epochs of the generated sets")
    parser.add_argument("--output", type=Path, default=RESULTS)
    for hidden in ("--set", "--run"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.ran < 2:
        parser.error("--ran: at least 2, as the first epoch costs more than the others")
    if options.run:
        print(json.dumps(perform(options)))
        return
    before = machine_load()
    result = {
        "rows": [compare(options, name) for name in options.sets],
        "ran": options.ran,
        "load": [before, machine_load()],
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(
        options.output, "fewshot", "Few-shot training, end to end", result, markdown(result)
    )


if __name__ == "__main__":
    main()
