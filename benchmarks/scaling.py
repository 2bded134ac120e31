"""Growth of cost: of a step with its classes, scoring with its images, a grid with its workers.

python benchmarks/scaling.py --classes 100 1000 10450 --images 1000 4000
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from both_sides import resources
from evaluation import untrained_bench
from generated_inputs import GeneratedDataset, make_clip
from plain_step import MethodSetting
from report import GIB, RESULTS, environment, machine_load, table, write_report
from startup import command
from step import our_steps
from usage import quickest, run_child, usage_of

GRID = ("--method", "zeroshot", "coop", "--set", "recipe.steps=5", "--limit", "40")
"""Two methods on the ten sets of the embedded world, learned on each of them."""


def classes_and_images(options: argparse.Namespace) -> dict[str, Any]:
    """CoOp's step with each number of classes; zero-shot scoring of each number of images."""
    torch.set_num_threads(1)
    clip = make_clip(options.model)
    steps = [
        {
            "classes": n,
            **quickest(our_steps(MethodSetting.of("coop", clip), n, 1 if n > 1000 else 2)).json(),
        }
        for n in options.classes
    ]
    images, demo = [], make_clip("demo")
    for count in options.images:
        with tempfile.TemporaryDirectory() as name:
            dataset = GeneratedDataset(100, count, demo.preprocess.size)
            work = resources("ours", demo, dataset, Path(name), Path(name))
            bench = untrained_bench(work, "zeroshot", dataset, "demo")
            runs = {run: usage_of(bench.evaluate).json() for run in ("cold", "warm")}
        images.append({"images": count, **runs})
    return {"steps": steps, "images": images}


def workers(counts: list[int]) -> list[dict[str, Any]]:
    """The same grid with an empty cache, by each number of workers."""
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            engine = f"processes:workers={count}"
            words = ["run", "--task", "few-shot", *GRID, "--engine", engine]
            before = machine_load()
            one = command(words, Path(name))
        rows.append({"workers": count, "cpu": one["cpu"], "wall": one["wall"], "load": before})
    return rows


def markdown(result: Mapping[str, Any]) -> list[str]:
    steps = [
        [
            f"{row['classes']:,}",
            f"{row['cpu']:.2f} s",
            f"{1000 * row['cpu'] / row['classes']:.2f} ms",
            f"{row['peak'] / GIB:.2f}",
        ]
        for row in result["steps"]
    ]
    images = [
        [
            f"{row['images']:,}",
            *(f"{1000 * row[run]['cpu'] / row['images']:.3f} ms" for run in ("cold", "warm")),
            f"{row['cold']['peak'] / GIB:.2f}",
        ]
        for row in result["images"]
    ]
    grids = [
        [str(r["workers"]), f"{r['wall']:.1f} s", f"{r['cpu']:.1f} s", str(r["load"])]
        for r in result["workers"]
    ]
    return [
        f"CoOp's step, {result['model']}, 16 tokens, one thread, processor time:",
        "",
        *table(("classes", "step", "a class", "peak GiB"), steps),
        "",
        "Scoring by zero-shot CLIP of the embedded world, 100 classes, with an empty store and with"
        " a full one:",
        "",
        *table(("images", "an image, cold", "an image, warm", "peak GiB, cold"), images),
        "",
        "The few-shot grid of the embedded world (`" + " ".join(GRID) + "`), empty cache, by"
        " `--engine processes:workers=N`. Time on the clock is worth only as much as the load of"
        " the machine before it allows:",
        "",
        *table(("workers", "on the clock", "processor time", "load before"), grids),
    ]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-B-32", help="of the step")
    parser.add_argument("--classes", nargs="+", type=int, default=[100, 300, 1000, 3000])
    parser.add_argument("--images", nargs="+", type=int, default=[1000, 4000])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.inside:
        print(json.dumps(classes_and_images(options)))
        return
    arguments = ["--inside", "--model", options.model]
    for name in ("classes", "images"):
        arguments += [f"--{name}", *map(str, getattr(options, name))]
    before = machine_load()
    result = {
        **run_child(__file__, arguments),
        "workers": workers(options.workers),
        "load": [before, machine_load()],
        "model": options.model,
        "environment": environment("torch", "open_clip_torch"),
    }
    write_report(options.output, "scaling", "Scaling", result, markdown(result))


if __name__ == "__main__":
    main()
