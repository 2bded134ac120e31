"""Cells run on all sides of a comparison: rppbench's way, the published one, a competent user's.

All sides are the same program with the same draws. The plain side, the published way, computes
more: its images pass the frozen tower in every epoch and for every method, and its class names have
77 tokens each. A competent user stores image features as rppbench does, and cuts the text to the
longest name. The accuracies must be equal, and the benchmarks check that they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from plain_step import competent_texts
from report import GIB
from torch import Tensor

from rppbench.contracts.dataset import Dataset
from rppbench.contracts.prompts import Prompt
from rppbench.contracts.recipe import Recipe
from rppbench.data.images import Notify
from rppbench.execution.bench import CellBench
from rppbench.execution.resources import Resources
from rppbench.features.store import Arrays, FeatureStore
from rppbench.models.class_names import Names
from rppbench.models.clip import Clip
from rppbench.models.text_tower import TextTower
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Choice, Training

Side = Literal["ours", "competent", "plain"]


class Run(NamedTuple):
    """A side, and what its feature store holds when it starts: 'none' keeps nothing."""

    side: Side
    store: Literal["none", "empty", "full"]


RUNS = {
    "plain": Run("plain", "none"),
    "competent, cold": Run("competent", "empty"),
    "competent, warm": Run("competent", "full"),
    "cold": Run("ours", "empty"),
    "warm": Run("ours", "full"),
}
"""In the order in which they run: a warm run finds what the cold one of its side stored."""
WAYS: dict[Side, str] = {"plain": "plain", "competent": "competent user", "ours": "rppbench"}
HEADS = ("way", "store", "time", "GiB", "times rppbench's, cold", "warm")


def run_rows(seconds: Mapping[str, float], peaks: Mapping[str, float]) -> Iterator[list[str]]:
    """A row below `HEADS` for each run, from its processor seconds and its peak in bytes.

    Another side's run is compared with ours that starts with the same store; plain with both.
    """
    for name, run in RUNS.items():
        ratios = [
            f"**{seconds[name] / max(seconds[ours], 1e-9):.1f}**"
            if run.side != "ours" and run.store in ("none", RUNS[ours].store)
            else ""
            for ours in ("cold", "warm")
        ]
        time, peak = f"{seconds[name]:.1f} s", f"{peaks[name] / GIB:.2f}"
        yield [WAYS[run.side], run.store, time, peak, *ratios]


class NoStore(FeatureStore):
    """A feature store that keeps nothing: every request computes."""

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
    """A text tower that runs every class name in all 77 tokens."""

    def encode(self, *words: Any, **options: Any) -> Tensor:
        return super().encode(*words, **{**options, "plain": True})


class CutToLongest(TextTower):
    """A text tower that runs every class name whole, in as many tokens as the longest needs."""

    def encode(
        self, prompt: Prompt, names: Names, classes: Tensor | None = None, **options: Any
    ) -> Tensor:
        assert not options, "raw features or 77 tokens: not of this side"
        return competent_texts(self, prompt, names.select(classes))


TEXT_TOWERS = {"plain": FullContext, "competent": CutToLongest}


def resources(side: Side, clip: Clip, dataset: Dataset, folder: Path, cache: Path) -> Resources:
    """The resources of one side's cells, with prompts in `folder` and features in `cache`."""
    if (tower := TEXT_TOWERS.get(side)) is not None:
        clip.__dict__["text"] = tower(clip.model, clip.tokenizer, clip.name)
    return Resources(
        registry=Registry.load(),
        load=lambda name, precision: clip,
        features=NoStore(cache) if side == "plain" else FeatureStore(cache),
        prompts=lambda training: folder / f"{training.key}.safetensors",
        datasets={dataset.name: dataset},
    )


def cell(
    method: str, options: Mapping[str, Any], recipe: Recipe, shots: int, dataset: str, model: str
) -> Cell:
    """A few-shot cell: the method learns on a data set and is scored on it."""
    component = Registry.load().get("methods", method)
    choice = Choice(method, tuple(sorted(options.items())))
    training = Training(choice, recipe.choice(), dataset, "all", shots, 1, model, None, "fp32")
    learns = component.learning is not None
    task = Choice("few-shot")
    return Cell(task, dataset, choice, model, "fp32", 1, None, training if learns else None)


def silent(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
    """Ignores progress."""


def bench(work: Resources, cell: Cell, notify: Notify = silent) -> CellBench:
    """The bench that trains and scores a cell."""
    return CellBench(cell, work, notify, retrain=False)
