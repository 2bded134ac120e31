"""A cell run in two ways that give the same numbers: rppbench's and the published one.

Both are the same program with the same draws. The plain side differs in what it computes again: its
images pass the frozen tower in every epoch and for every method, and each of its class names is run
in 77 tokens. The accuracies must be equal, and the benchmarks check that they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rppbench.contracts.dataset import Dataset
from rppbench.contracts.recipe import Recipe
from rppbench.data.images import Notify
from rppbench.execution.bench import CellBench, Resources
from rppbench.features.store import Arrays, FeatureStore
from rppbench.models.clip import Clip
from rppbench.models.text_tower import TextTower
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Choice, Training

Side = Literal["ours", "plain"]


class Live(FeatureStore):
    """Stores nothing: features are computed whenever they are needed."""

    def get(self, key: Mapping[str, object], rows: int, compute: Callable[[], Tensor]) -> Tensor:
        return compute()

    def rows(
        self,
        key: Mapping[str, object],
        names: Sequence[str],
        compute: Callable[[Sequence[int]], Iterable[Tensor]],
    ) -> Tensor:
        return torch.cat(list(compute(range(len(names)))))

    def arrays(self, key: Mapping[str, object], compute: Callable[[], Arrays]) -> Arrays:
        return compute()


class FullContext(TextTower):
    """Every class in all 77 tokens."""

    def encode(self, *words: Any, **options: Any) -> Tensor:
        return super().encode(*words, **{**options, "plain": True})


def resources(side: Side, clip: Clip, dataset: Dataset, folder: Path, cache: Path) -> Resources:
    """Where one side runs its cells: prompts go to `folder`, features to `cache`."""
    if side == "plain":
        clip.__dict__["text"] = FullContext(clip.model, clip.tokenizer, clip.name)
    return Resources(
        registry=Registry.load(),
        load=lambda name, precision: clip,
        features=FeatureStore(cache) if side == "ours" else Live(cache),
        prompts=lambda training: folder / f"{training.key}.safetensors",
        datasets={dataset.name: dataset},
    )


def cell(
    method: str, options: Mapping[str, Any], recipe: Recipe, shots: int, dataset: str, model: str
) -> Cell:
    """A method that learns on a data set and is scored on it."""
    component = Registry.load().get("methods", method)
    choice = Choice(method, tuple(sorted(options.items())))
    training = Training(choice, recipe.choice(), dataset, "all", shots, 1, model, None, "fp32")
    learns = component.supervision is not None
    task = Choice("few-shot")
    return Cell(task, dataset, choice, model, "fp32", 1, None, training if learns else None)


def silent(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
    """Reports nothing."""


def bench(work: Resources, cell: Cell, notify: Notify = silent) -> CellBench:
    return CellBench(cell, work, notify, retrain=False)
