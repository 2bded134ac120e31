"""Toy runs that any process can do: data sets, methods, and the tiny CLIP as files of a plugin.

And what tests of runs and commands share.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pluggy
import pytest
from safetensors.torch import save_file

import rppbench_tasks
from rppbench import hookimpl
from rppbench.contracts.backbone import Backbone
from rppbench.contracts.engine import Event
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompt, Prompts, Space, Templates
from rppbench.contracts.recipe import Recipe
from rppbench.contracts.task import Task
from rppbench.execution.bench import Resources
from rppbench.execution.engines import Inline
from rppbench.execution.runner import Runner
from rppbench.features.store import FeatureStore
from rppbench.files.digests import sha256
from rppbench.models.clip import Clip, load
from rppbench.planning.plan import Request, cell_groups, cells
from rppbench.planning.status import survey
from rppbench.plugins import hookspecs
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell
from rppbench.records.record import Record
from rppbench.training import trainer
from support.tiny import make_tiny_clip, tiny_config
from support.toy_data import Toy

Say = Callable[..., tuple[int, str, str]]
"""Runs a command: its status, what it printed, and its complaints."""


class ToyOne(Toy):
    name, title, role = "toy-one", "Toy one", "transfer"
    images_a_class = 2


class ToyTwo(Toy):
    name, title, role = "toy-two", "Toy two", "transfer"
    images_a_class = 4


class ToyShift(Toy):
    name, title, role = "toy-shift", "Toy shift", "shift"


class ToyBroken(Toy):
    name, title, role = "toy-broken", "Toy broken", "transfer"

    def image(self, sample: Any) -> Any:
        raise OSError(f"cannot identify image file {sample.key}")


class Fixed(Method):
    name, title, supervision = "fixed", "Fixed wording", None

    def prompts(self) -> Prompts:
        return Prompts(Templates())


class Context(Method):
    name, title = "context", "Context"
    recipes = (Recipe("context-1", epochs=2, batch=8, lr=0.01, augment="none", shots=2),)

    def __init__(self, space: Space, *, both: bool = False, length: int = 2) -> None:
        super().__init__(space)
        self.context = space.normal(length, space.text_width)
        self.tokens = space.normal(length, space.image_width) if both else None

    def prompts(self) -> Prompts:
        return Prompts(Prompt(self.context), None if self.tokens is None else Prompt(self.tokens))


class Bringing:
    """A plugin that brings these."""

    def __init__(
        self,
        methods: Sequence[type[Method]],
        datasets: Sequence[type[Toy]],
        tasks: Sequence[type[Task]] = (),
    ) -> None:
        self.methods, self.datasets, self.tasks = methods, datasets, tasks

    @hookimpl
    def rppbench_methods(self) -> Sequence[type[Method]]:
        return self.methods

    @hookimpl
    def rppbench_datasets(self) -> Sequence[type[Toy]]:
        return self.datasets

    @hookimpl
    def rppbench_tasks(self) -> Sequence[type[Task]]:
        return self.tasks


class ToyPlugin:
    """What a plugin with a backbone of its own brings."""

    def __init__(self, models: Path) -> None:
        self.models = models

    @hookimpl
    def rppbench_methods(self) -> list[type[Method]]:
        return [Fixed, Context]

    @hookimpl
    def rppbench_datasets(self) -> list[type[Toy]]:
        return [Toy, ToyOne, ToyTwo, ToyShift]

    @hookimpl
    def rppbench_backbones(self) -> list[Backbone]:
        weights = self.models / "tiny.safetensors"
        return [Backbone("tiny", "Tiny", self.models / "tiny.json", weights, sha256(weights))]


def save_tiny(models: Path) -> None:
    """Write the tiny CLIP as a plugin ships a backbone."""
    clip = make_tiny_clip()
    facts = {name: value for name, value in asdict(clip.preprocess).items() if name != "resize"}
    config = {**tiny_config(), "preprocess": {**facts, "resize_mode": clip.preprocess.resize}}
    models.mkdir(parents=True, exist_ok=True)
    (models / "tiny.json").write_text(json.dumps(config))
    save_file(clip.model.state_dict(), models / "tiny.safetensors")


@dataclass
class ToyRunner(Runner):
    """A runner with the toy plugin, whose cache is beside its records."""

    models: Path = Path()
    """Where `save_tiny` wrote the backbone."""

    @cached_property
    def resources(self) -> Resources:
        registry = toy_registry(self.models)
        loaded: dict[str, Clip] = {}

        def get(name: str, precision: str) -> Clip:
            if name not in loaded:
                loaded[name] = load(name, registry.all("backbones"), precision)
            return loaded[name]

        return Resources(
            registry=registry,
            load=get,
            features=FeatureStore(self.output / "cache"),
            prompts=self.store.training_path,
            batch_size=self.batch_size,
        )


class Place:
    """A runner over the tiny backbone, whose cache and output are folders of the test."""

    def __init__(self, registry: Registry, folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr("rppbench.planning.plan.Identities._weights", lambda self, name: f"{name}-1")
        self.registry, self.folder = registry, folder
        self.clips = {"tiny": make_tiny_clip(), "teacher": make_tiny_clip(seed=3)}
        self.events: list[Event] = []
        self.runner = self.new()

    def new(self, output: str = "runs", cache: str = "cache", **options: Any) -> Runner:
        runner = Runner(self.folder / output, batch_size=5, **options)
        runner.resources = Resources(  # what the property builds, with the tiny models
            registry=self.registry,
            load=lambda name, precision: self.clips[name],
            features=FeatureStore(self.folder / cache),
            prompts=runner.store.training_path,
            batch_size=5,
        )
        return runner

    def plan(self, *methods: str, task: str = "cross-dataset", **request: Any) -> list[Cell]:
        asked = Request(methods, (f"{task}:suite=toy",), backbone="tiny", **request)
        return cells(self.registry, asked)

    def run(self, planned: list[Cell], runner: Runner | None = None) -> list[Record]:
        runner = runner or self.runner
        for batch in cell_groups(planned):
            runner(batch, self.events.append)
        found = [runner.store.read(cell) for cell in planned]
        assert all(found)
        return [record for record in found if record]

    @property
    def encoded(self) -> int:
        return sum(clip.image.images_encoded for clip in self.clips.values())


def refused(say: Say, *words: str) -> str:
    """The complaint of a command that must not work."""
    status, _, told = say(*words)
    assert status == 2, told
    assert "Traceback" not in told
    return told


def images() -> tuple[list[str], list[int]]:
    """The test images of a toy data set as files, and their labels."""
    dataset = ToyOne()
    samples = dataset.samples("test")
    paths = [f"{index}.png" for index in range(len(samples))]
    for path, sample in zip(paths, samples, strict=True):
        dataset.image(sample).save(path)
    return paths, [sample.label for sample in samples]


def asked(folder: Path) -> tuple[str, ...]:
    paths, _ = images()
    return ("predict", "--prompt", str(folder), "--classes", "red square,black cat", paths[0])


def registry_of(**plugins: object) -> Registry:
    """What these plugins and the tasks of rppbench bring, and nothing else that is installed."""
    manager = pluggy.PluginManager("rppbench")
    manager.add_hookspecs(hookspecs)
    for name, plugin in {**plugins, "tasks": rppbench_tasks}.items():
        manager.register(plugin, name)
    return Registry(manager)


def toy_registry(models: Path) -> Registry:
    return registry_of(toys=ToyPlugin(models))


def toy_cells(models: Path, *methods: str, **request: Any) -> list[Cell]:
    asked = Request(methods, ("cross-dataset:suite=toy",), backbone="tiny", **request)
    return cells(toy_registry(models), asked)


def command(connection: Connection[Any, Any], output: Path, models: Path) -> None:
    """What a command does that is issued again and again: run what is not there yet.

    Tells of each event, and of its end with None.
    """
    trainer.SAVE_SECONDS = 0.0  # a state after each step: every one of them is a place to go on
    runner = ToyRunner(output, batch_size=5, models=models)
    settings = (("recipe.epochs", "5"), ("recipe.batch", "4"))
    planned = toy_cells(
        models, "context:both=on", "context", "fixed", seeds=(1, 2), settings=settings
    )
    due = [entry.cell for entry in survey(planned, runner.store)[0] if entry.state != "done"]
    Inline().run(runner, cell_groups(due), connection.send)
    connection.send(None)
