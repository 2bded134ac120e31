"""Scoring many images by ten methods: with an empty store, with a full one, and in other ways.

Every method is scored on the same generated images, with the embedded world's model unless another
is named. Prompts are those that a training starts from: scoring learned ones costs the same. The
plain way passes each image through the tower for each method. It runs on a part of the images, and
its usage is multiplied by the number of such parts. A competent user stores image features as
rppbench does (`both_sides.py`).

    python benchmarks/evaluation.py --images 50000
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from both_sides import HEADS, RUNS, bench, cell, resources, run_rows
from generated_inputs import GeneratedDataset, make_clip
from report import RESULTS, environment, machine_load, table, write_report
from usage import run_child, usage_of

from rppbench.contracts.recipe import FALLBACK
from rppbench.execution.bench import CellBench
from rppbench.execution.resources import Resources
from rppbench.planning.recipes import SUPERVISION
from rppbench.plugins.options import options as options_of
from rppbench.plugins.registry import Registry
from rppbench.training.state import Progress

METHODS = (
    *("zeroshot", "linear-probe", "clip-adapter", "tip-adapter", "coop", "kgcoop", "pomp"),
    *("vpt", "maple", "rpp"),
)
"""The first seven leave the image tower alone, the last three prompt it."""
DEPTH = 3
"""Number of blocks with prompts, as MaPLe and RPP have it when prompts are transferred."""


def untrained_bench(
    work: Resources, method: str, dataset: GeneratedDataset, model: str
) -> CellBench:
    """A bench whose method has the parameters that a training starts from."""
    component = Registry.load().get("methods", method)
    chosen = dict(options_of(component))
    chosen |= {"depth": DEPTH} if "depth" in chosen else {}
    chosen |= {"kd": False} if "kd" in chosen else {}
    one = bench(work, cell(method, chosen, FALLBACK, 1, dataset.name, model))
    if (training := one.cell.training) is not None:
        own = {name: value for name, value in chosen.items() if name not in SUPERVISION}
        method_module = component(one.clip.space(len(dataset.classes), torch.Generator()), **own)
        work.fitted = {training.key: (method_module.eval(), Progress(log=({"epoch": 1},)))}
    one.fit()
    return one


def perform(options: argparse.Namespace) -> dict[str, Any]:
    """Score with all methods in turn in this process; usage and correct images by method."""
    torch.set_num_threads(1)
    side = RUNS[options.run].side
    clip = make_clip(options.model)
    dataset = GeneratedDataset(options.classes, options.images, clip.preprocess.size)
    work = resources(side, clip, dataset, options.folder, options.folder / side)
    results = {}
    for method in options.methods:
        one = untrained_bench(work, method, dataset, options.model)
        right: list[int] = []

        def score(one: CellBench = one, right: list[int] = right) -> None:
            evaluation = one.evaluate()
            right.append(int((evaluation.ranked[:, 0] == evaluation.labels).sum()))

        spent = usage_of(partial(score))
        results[method] = {**spent.json(), "correct": right[0], "frozen": one.method.frozen_images}
    return results


def compare(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        words = ["--model", options.model, "--classes", str(options.classes), "--folder", folder]
        words += ["--methods", *options.methods]
        runs = {}
        for run in RUNS:
            images = options.part if run == "plain" else options.images
            runs[run] = run_child(__file__, [*words, "--run", run, "--images", str(images)])
            print(f"{run}: {sum(m['cpu'] for m in runs[run].values()):.1f} s", flush=True)
    stored = [run for run in RUNS if run != "plain"]
    for method in options.methods:
        if len({runs[run][method]["correct"] for run in stored}) > 1:
            raise SystemExit(f"the scores of {method} are not equal in {'; '.join(stored)}")
    return runs


def totals(result: Mapping[str, Any], frozen: bool | None) -> dict[str, float]:
    """Processor seconds of each run: of methods that leave the image tower alone, of the others."""
    times = result["images"] / result["part"]
    return {
        run: (times if run == "plain" else 1)
        * sum(m["cpu"] for m in methods.values() if frozen in (None, m["frozen"]))
        for run, methods in result["runs"].items()
    }


def markdown(result: Mapping[str, Any]) -> list[str]:
    rows = []
    runs = result["runs"]
    count = {True: 0, False: 0}
    for method in runs["cold"].values():
        count[method["frozen"]] += 1
    for what, frozen in (
        (f"{count[True]} that leave the image tower alone", True),
        (f"{count[False]} that prompt it", False),
        ("all", None),
    ):
        peaks = {
            run: max(
                (m["peak"] for m in methods.values() if frozen in (None, m["frozen"])), default=0
            )
            for run, methods in runs.items()
        }
        rows += [[what, *cells] for cells in run_rows(totals(result, frozen), peaks)]
    times = result["images"] / result["part"]
    return [
        f"{result['images']:,} generated images, {result['classes']} classes, {result['model']},"
        f" by {', '.join(runs['cold'])}; one thread, processor seconds. Cold: one process scores"
        " all methods in turn with an empty feature store; warm: another one finds it full. Plain"
        f" ran {result['part']:,} images for each method and its seconds are counted x {times:g}."
        " A competent user stores image features as rppbench does, and cuts text to the longest"
        " name. All but plain get as many images right.",
        "",
        *table(("methods", *HEADS), rows),
        "",
        "Prompts in the image tower change what it computes, so these methods pass every image"
        " through it in every run: that is the limit of their ratio.",
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--part", type=int, default=1_000, help="images of the plain way")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.run:
        print(json.dumps(perform(options)))
        return
    before = machine_load()
    result = {
        "runs": compare(options),
        "images": options.images,
        "part": options.part,
        "classes": options.classes,
        "model": options.model,
        "load": [before, machine_load()],
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(
        options.output, "evaluation", "Evaluation by ten methods", result, markdown(result)
    )


if __name__ == "__main__":
    main()
