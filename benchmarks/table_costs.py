"""Estimates of what the tables of each paper cost on GPUs, from the planner's cells. Nothing runs.

    python benchmarks/table_costs.py [--teraflops 40]

Cells, trainings and steps are the planner's, with the published recipes; operations are counted for
ViT-B/16; the speed of a GPU is assumed. Batches go to GPUs longest first, as workers take them.
"""

from __future__ import annotations

import argparse
import heapq
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rppbench.contracts.engine import CellGroup
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Training

IMAGE = 35.1e9
"""Operations of ViT-B/16 on an image of 224 pixels: 17.6 G multiply-adds."""
TEXT = 5.9e9
"""Operations of its text tower on 77 tokens."""
GPUS = (1, 8, 64)
CLASSES = {
    "imagenet": 1000,
    "caltech101": 100,
    "oxford_pets": 37,
    "stanford_cars": 196,
    "oxford_flowers": 102,
    "food101": 101,
    "fgvc_aircraft": 100,
    "sun397": 397,
    "dtd": 47,
    "eurosat": 10,
    "ucf101": 101,
    "imagenetv2": 1000,
    "imagenet_sketch": 1000,
    "imagenet_a": 200,
    "imagenet_r": 200,
    "imagenet21k": 10450,
}
SHOTS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Paper:
    """The tables of a paper: its methods on these tasks with three seeds."""

    name: str
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    shots: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)


PAPERS = (
    Paper("CoOp (few-shot)", ("coop",), ("few-shot:suite=coop",), SHOTS),
    Paper("CoCoOp", ("cocoop", "coop"), ("base-to-new:suite=coop", "cross-dataset:suite=coop")),
    Paper("MaPLe", ("maple",), ("base-to-new:suite=coop", "cross-dataset:suite=coop")),
    Paper("PromptSRC", ("promptsrc",), ("base-to-new:suite=coop", "few-shot:suite=coop"), SHOTS),
    Paper("POMP", ("pomp",), ("pretraining:suite=coop", "cross-dataset:suite=coop"), (), (1,)),
    Paper("RPP-SAPL", ("rpp",), ("pretraining:suite=coop", "base-to-new:suite=coop")),
)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teraflops", type=float, default=40.0, help="sustained by one GPU [40]")
    speed = parser.parse_args(words).teraflops * 1e12
    registry = Registry.load()
    heads = [f"{count} GPU{'s' if count > 1 else ''}" for count in GPUS]
    print(f"| tables of | cells | trainings | GPU hours | {' | '.join(heads)} |")
    print("|---" * (4 + len(GPUS)) + "|")
    for paper in PAPERS:
        planned = [
            cell
            for task in paper.tasks
            for cell in cells(
                registry,
                Request(
                    paper.methods,
                    (task,),
                    backbone="ViT-B-16/openai",
                    seeds=paper.seeds,
                    shots=paper.shots if task.startswith("few-shot") else (),
                ),
                faults=[],
            )
        ]
        groups = cell_groups(planned)
        seconds = [operations(registry, group) / speed for group in groups]
        trainings = {training.key for cell in planned for training in cell.trainings}
        clock = [f"{makespan(seconds, gpus) / 3600:.2g} h" for gpus in GPUS]
        total = f"{sum(seconds) / 3600:.2g}"
        print(
            f"| {paper.name} | {len(planned):,} | {len(trainings):,} | {total} | "
            f"{' | '.join(clock)} |"
        )
        sys.stdout.flush()
    return 0


def operations(registry: Registry, group: CellGroup) -> float:
    """Of a batch: its trainings, each once, and the scoring of its cells."""
    trainings = {one.key: one for cell in group for one in cell.trainings}
    total = sum(of_training(registry, one) for one in trainings.values())
    for cell in group:
        dataset = registry.get("datasets", cell.dataset)
        classes = CLASSES[cell.dataset]
        text = TEXT * classes
        if cell.method.name == "cocoop":  # a context for each image
            text *= dataset.counts["test"]
        total += IMAGE * dataset.counts["test"] + text
    return total


def of_training(registry: Registry, training: Training) -> float:
    """Forward and, where gradients flow, backward, which takes as long again without weights."""
    recipe = dict(training.recipe.options)
    classes = CLASSES[training.source]
    if training.classes == "base":
        classes = math.ceil(classes / 2)
    images = min(
        training.shots * classes, registry.get("datasets", training.source).counts["train"]
    )
    batch = int(recipe["batch"])
    steps = int(recipe["epochs"]) * math.ceil(images / batch)
    sampled = int(dict(training.method.options).get("sampled", 0) or 0)
    texts = min(classes, sampled) if sampled else classes
    per_step = 2 * TEXT * texts * (batch if training.method.name == "cocoop" else 1)
    method = registry.get("methods", training.method.name)
    frozen = "image" not in method.prompted_towers(dict(training.method.options))
    per_step += IMAGE * batch * int(recipe.get("views", 1)) * (1 if frozen else 2)
    return steps * per_step


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Until the last of the workers is done, if each takes the longest batch that is left."""
    ends = [0.0] * workers
    for one in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)


if __name__ == "__main__":
    sys.exit(main())
