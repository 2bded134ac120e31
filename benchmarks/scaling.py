"""How cost grows: of a step with classes, of scoring with images, of a grid with workers.

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
from evaluation import fresh
from gauge import child, least, taken
from generated import Generated, clip_of
from page import GIB, RESULTS, environment, load, table, write
from plain import Setting
from sides import resources
from startup import command
from step import ours

GRID = ("--method", "zeroshot", "coop", "--set", "recipe.epochs=1", "--limit", "40")
"""Two methods on the eleven sets of the embedded world, learned on each of them."""


def classes_and_images(options: argparse.Namespace) -> dict[str, Any]:
    """CoOp's step with more and more classes; zero-shot scoring of more and more images."""
    torch.set_num_threads(1)
    clip = clip_of(options.model)
    steps = [
        {"classes": n, **least(ours(Setting.of("coop", clip), n, 1 if n > 1000 else 2)).json()}
        for n in options.classes
    ]
    images, demo = [], clip_of("demo")
    for count in options.images:
        with tempfile.TemporaryDirectory() as name:
            dataset = Generated(100, count, demo.preprocess.size)
            work = resources("ours", demo, dataset, Path(name), Path(name))
            bench = fresh(work, "zeroshot", dataset, "demo")
            runs = {run: taken(bench.evaluate).json() for run in ("cold", "warm")}
        images.append({"images": count, **runs})
    return {"steps": steps, "images": images}


def workers(counts: list[int]) -> list[dict[str, Any]]:
    """The same grid with an empty cache by one worker and by more."""
    found = []
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            engine = f"processes:workers={count}"
            words = ["run", "--task", "few-shot", *GRID, "--engine", engine]
            before = load()
            one = command(words, Path(name))
        found.append({"workers": count, "cpu": one["cpu"], "wall": one["wall"], "load": before})
    return found


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
    given = ["--inside", "--model", options.model]
    for name in ("classes", "images"):
        given += [f"--{name}", *map(str, getattr(options, name))]
    before = load()
    result = {
        **child(__file__, given),
        "workers": workers(options.workers),
        "load": [before, load()],
        "model": options.model,
        "environment": environment("torch", "open_clip_torch"),
    }
    write(options.output, "scaling", "Scaling", result, markdown(result))


if __name__ == "__main__":
    main()
