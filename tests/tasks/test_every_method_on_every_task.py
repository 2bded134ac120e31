"""Every built-in method on every task, as cells of a few images: it runs, or says why it cannot."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import pytest
from support.toy_data import Maps, Things
from support.toy_plugin import PluginOf, ToyPlugin, registry_of, save_tiny
from support.toy_runner import ToyRunner

import rppbench_methods
from rppbench.errors import UsageError
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry

TASKS = {
    "pretraining": "toy",
    "cross-dataset": "toy-one",
    "cross-domain": "toy-shift",
    "few-shot": "toy-one",
    "base-to-new": "toy-one",
    "fine-tune": "toy-one",
    "segmentation": "toy-maps",
    "detection": "toy-things",
}
METHODS = sorted(Registry.load().all("methods"))
SHORT = (
    *(("recipe.epochs", "1"), ("recipe.warmup_epochs", "0"), ("recipe.batch", "8")),
    ("recipe.steps_per_shot", "0"),
)
SMALLER = {"depth": 3, "layer": 2}
"""Values of options whose defaults need more than the four blocks of the tiny towers."""
LONG = {("clip-lora", "fine-tune")}
"""Left out: settings do not reach the pretraining, which takes 500 steps for each shot."""
NEW_CLASSES = ("pretraining", "cross-dataset", "cross-domain", "base-to-new", "fine-tune")
"""Tasks that score classes which were not learned."""


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    save_tiny(folder)
    save_tiny(folder, "teacher", seed=3)
    return folder


def outcome(models: Path, folder: Path, method: str, task: str) -> str:
    """'ok', or the first line of why there is no number."""
    registry = registry_of(
        toys=ToyPlugin(models), dense=PluginOf([], [Things, Maps]), methods=rppbench_methods
    )
    component = registry.get("methods", method)
    defaults = {p.name: p.default for p in inspect.signature(component).parameters.values()}
    options = ",".join(f"{k}={v}" for k, v in SMALLER.items() if defaults.get(k, 0) > 3)
    learning = component.learning
    dense = task in ("segmentation", "detection")
    # Of a cell that is not planned, --set would have nothing to set.
    planned_at_all = component.open_vocabulary or task not in NEW_CLASSES
    steps = learning and any(recipe.epochs for recipe in learning.recipes)
    asked = Request(
        (f"{method}:{options}" if options else method,),
        (f"{task}:suite=toy",),
        datasets=(TASKS[task],),
        backbone="tiny",
        teacher="teacher",
        shots=(1,) if learning and not dense else (),
        limit=6,
        settings=SHORT if steps and planned_at_all else (),
    )
    try:
        planned = cells(registry, asked)
    except UsageError as error:
        return str(error).splitlines()[0]
    assert planned
    runner = ToyRunner(folder, models=models, batch_size=8)
    runner.resources.registry = registry
    for group in cell_groups(planned):
        runner(group, lambda event: None)
    for cell in planned:
        record = runner.store.read(cell)
        assert record is not None
        if record.failure is not None:
            return f"{record.failure.kind}: {record.failure.message.splitlines()[0]}"
        assert record.scores
        assert all(math.isfinite(score.value) for score in record.scores)
    return "ok"


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_it_runs_or_says_why_it_cannot(method: str, backbones: Path, tmp_path: Path) -> None:
    closed = not Registry.load().get("methods", method).open_vocabulary
    for task, dataset in TASKS.items():
        if (method, task) in LONG:
            continue
        expected = "ok"
        if closed and task in NEW_CLASSES:
            expected = (
                f"{method} cannot run {task} ({dataset}): it knows only the classes that it learned"
            )
        assert outcome(backbones, tmp_path / task, method, task) == expected, task


def test_the_tasks_are_all_that_there_are() -> None:
    assert {*TASKS, "validation"} == {*Registry.load().all("tasks")}
