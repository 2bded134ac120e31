"""Runners of toy cells, with the tiny CLIP as backbone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from rppbench.contracts.engine import Event
from rppbench.execution.engines import Inline
from rppbench.execution.resources import Resources
from rppbench.execution.runner import Runner
from rppbench.features.store import FeatureStore
from rppbench.models.clip import Clip, load
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.planning.status import survey
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell
from rppbench.records.record import Record
from rppbench.training import trainer
from support.tiny import make_tiny_clip
from support.toy_plugin import toy_registry


@dataclass
class ToyRunner(Runner):
    """A runner of the toy plugin's cells, which worker processes can load; its cache is below
    the folder of its records.
    """

    models: Path = Path()
    """Where `save_tiny` wrote the backbone."""

    @cached_property
    def resources(self) -> Resources:
        registry = toy_registry(self.models)

        def get(name: str, precision: str) -> Clip:
            return load(name, registry.all("backbones"), precision, kinds=registry.towers())

        return Resources(
            registry=registry,
            load=get,
            features=FeatureStore(self.output / "cache"),
            prompts=self.store.training_path,
            batch_size=self.batch_size,
        )


class Workspace:
    """A runner with tiny models in this process, whose cache and records are below one folder."""

    def __init__(self, registry: Registry, folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(
            "rppbench.planning.plan.InputDigests._weights", lambda self, name: f"{name}-1"
        )
        self.registry, self.folder = registry, folder
        self.clips = {"tiny": make_tiny_clip(), "teacher": make_tiny_clip(seed=3)}
        self.events: list[Event] = []
        self.runner = self.new()

    def new(self, output: str = "runs", cache: str = "cache", **options: Any) -> Runner:
        runner = Runner(self.folder / output, batch_size=5, **options)
        runner.resources = Resources(  # as the property builds them, but with the tiny models
            registry=self.registry,
            load=lambda name, precision: self.clips[name],
            features=FeatureStore(self.folder / cache),
            prompts=runner.store.training_path,
            batch_size=5,
        )
        return runner

    def plan(self, *methods: str, task: str = "cross-dataset", **request: Any) -> list[Cell]:
        tasks = (f"{task}:suite=toy",)
        return cells(self.registry, Request(methods, tasks, backbone="tiny", **request))

    def run(self, planned: list[Cell], runner: Runner | None = None) -> list[Record]:
        """Run the cells and return their records in the same order."""
        runner = runner or self.runner
        for batch in cell_groups(planned):
            runner(batch, self.events.append)
        records = [runner.store.read(cell) for cell in planned]
        assert all(records)
        return [record for record in records if record]

    @property
    def images_encoded(self) -> int:
        """Number of images that the towers of backbone and teacher have encoded so far."""
        return sum(clip.image.images_encoded for clip in self.clips.values())


def toy_cells(models: Path, *methods: str, **request: Any) -> list[Cell]:
    tasks = ("cross-dataset:suite=toy",)
    return cells(toy_registry(models), Request(methods, tasks, backbone="tiny", **request))


def run_missing_cells(connection: Connection[Any, Any], output: Path, models: Path) -> None:
    """Run the cells that have no record yet, as `rppbench run` does when it is issued again.

    Sends each event, and None at the end.
    """
    trainer.SAVE_SECONDS = 0.0  # a state after each step, so that a run resumes at any of them
    runner = ToyRunner(output, batch_size=5, models=models)
    settings = (("recipe.epochs", "5"), ("recipe.batch", "4"))
    planned = toy_cells(
        models, "context:both=on", "context", "fixed", seeds=(1, 2), settings=settings
    )
    due = [entry.cell for entry in survey(planned, runner.store)[0] if entry.state != "done"]
    Inline().run(runner, cell_groups(due), connection.send)
    connection.send(None)
