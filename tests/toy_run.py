"""Toy runs that any process can do: data sets, methods, and the tiny CLIP as files of a plugin."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pluggy
from safetensors.torch import save_file
from tiny import make_tiny_clip, tiny_config
from toy import Toy

import rppbench_tasks
from rppbench import hookimpl, hookspecs, training
from rppbench.backbones import Backbone
from rppbench.bench import Workshop
from rppbench.clip import Clip, load
from rppbench.contracts import Method, Prompt, Prompts, Space, Templates
from rppbench.engines import Inline
from rppbench.features import FeatureStore
from rppbench.plan import Request, batches, cells, survey
from rppbench.plugins import Registry
from rppbench.recipes import Recipe
from rppbench.records import Cell
from rppbench.runner import Runner
from rppbench.weights import sha256


class ToyOne(Toy):
    name, title, role = "toy-one", "Toy one", "transfer"
    images_a_class = 2


class ToyTwo(Toy):
    name, title, role = "toy-two", "Toy two", "transfer"
    images_a_class = 4


class ToyShift(Toy):
    name, title, role = "toy-shift", "Toy shift", "shift"


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
    def workshop(self) -> Workshop:
        registry = toy_registry(self.models)
        loaded: dict[str, Clip] = {}

        def get(name: str, precision: str) -> Clip:
            if name not in loaded:
                loaded[name] = load(name, registry.all("backbones"), precision)
            return loaded[name]

        return Workshop(
            registry=registry,
            load=get,
            features=FeatureStore(self.output / "cache"),
            prompts=self.store.training_path,
            batch_size=self.batch_size,
        )


def toy_registry(models: Path) -> Registry:
    manager = pluggy.PluginManager("rppbench")
    manager.add_hookspecs(hookspecs)
    manager.register(ToyPlugin(models), "toys")
    manager.register(rppbench_tasks, "tasks")
    return Registry(manager)


def toy_cells(models: Path, *methods: str, **request: Any) -> list[Cell]:
    asked = Request(methods, ("cross-dataset:suite=toy",), backbone="tiny", **request)
    return cells(toy_registry(models), asked)


def command(connection: Connection[Any, Any], output: Path, models: Path) -> None:
    """What a command does that is issued again and again: run what is not there yet.

    Tells of each event, and of its end with None.
    """
    training.SAVE_SECONDS = 0.0  # a state after each step: every one of them is a place to go on
    runner = ToyRunner(output, batch_size=5, models=models)
    settings = (("recipe.epochs", "5"), ("recipe.batch", "4"))
    planned = toy_cells(
        models, "context:both=on", "context", "fixed", seeds=(1, 2), settings=settings
    )
    due = [entry.cell for entry in survey(planned, runner.store) if entry.state != "done"]
    Inline().run(runner, batches(due), connection.send)
    connection.send(None)
