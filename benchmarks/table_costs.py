"""Estimates of what the tables of each paper cost on GPUs, from the planner's cells. Nothing runs.

    python benchmarks/table_costs.py [--teraflops 40]

Cells, trainings and steps are the planner's, with the published recipes; operations are counted for
ViT-B/16; the speed of a GPU is assumed. Batches go to GPUs longest first, as workers take them.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rppbench.planning.costs.operations import estimate
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry

GPUS = (1, 8, 64)
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
        seconds = [estimate(registry, group).operations / speed for group in groups]
        trainings = {training.key for cell in planned for training in cell.trainings}
        clock = [f"{makespan(seconds, gpus) / 3600:.2g} h" for gpus in GPUS]
        total = f"{sum(seconds) / 3600:.2g}"
        print(
            f"| {paper.name} | {len(planned):,} | {len(trainings):,} | {total} | "
            f"{' | '.join(clock)} |"
        )
        sys.stdout.flush()
    return 0


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Until the last of the workers is done, if each takes the longest batch that is left."""
    ends = [0.0] * workers
    for one in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)


if __name__ == "__main__":
    sys.exit(main())
