"""A toy plugin: small data sets and methods, and the tiny CLIP as a backbone in files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pluggy
import torch
from safetensors.torch import save_file

import rppbench_tasks
from rppbench import hookimpl
from rppbench.contracts.backbone import Backbone
from rppbench.contracts.dataset import Dataset
from rppbench.contracts.learning import Learning
from rppbench.contracts.method import Method, Tower
from rppbench.contracts.prompts import Prompt, Prompts, Space, Templates
from rppbench.contracts.recipe import Recipe
from rppbench.contracts.task import Task
from rppbench.files.digests import sha256
from rppbench.models.loading import build
from rppbench.plugins import hookspecs
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Option
from support.tiny import make_tiny_clip, tiny_config
from support.toy_data import Toy


class ToyOne(Toy):
    name, title, role = "toy-one", "Toy one", "transfer"
    images_a_class = 2


class ToyTwo(Toy):
    name, title, role = "toy-two", "Toy two", "transfer"
    images_a_class = 4


class ToyShift(Toy):
    name, title, role = "toy-shift", "Toy shift", "shift"


class ToyBroken(Toy):
    """No image of it can be read."""

    name, title, role = "toy-broken", "Toy broken", "transfer"

    def image(self, sample: Any) -> Any:
        raise OSError(f"cannot identify image file {sample.key}")


class Fixed(Method):
    """Zero-shot: each data set's own wording, and nothing to learn."""

    name, title, learning = "fixed", "Fixed wording", None

    def prompts(self) -> Prompts:
        return Prompts(Templates())


class Context(Method):
    """A learned context for the text tower; with `both`, learned tokens for the image tower too."""

    name, title = "context", "Context"
    learning = Learning((Recipe("context-1", epochs=2, batch=8, lr=0.01, augment="none", shots=2),))

    def __init__(self, space: Space, *, both: bool = False, length: int = 2) -> None:
        super().__init__(space)
        self.context = space.normal(length, space.text_width)
        self.tokens = space.normal(length, space.image_width) if both else None

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text", "image") if options.get("both") else ("text",)

    def prompts(self) -> Prompts:
        return Prompts(Prompt(self.context), None if self.tokens is None else Prompt(self.tokens))


class PluginOf:
    """A plugin that brings the given methods, data sets and tasks."""

    def __init__(
        self,
        methods: Sequence[type[Method]],
        datasets: Sequence[type[Dataset]],
        tasks: Sequence[type[Task]] = (),
    ) -> None:
        self.methods, self.datasets, self.tasks = methods, datasets, tasks

    @hookimpl
    def rppbench_methods(self) -> Sequence[type[Method]]:
        return self.methods

    @hookimpl
    def rppbench_datasets(self) -> Sequence[type[Dataset]]:
        return self.datasets

    @hookimpl
    def rppbench_tasks(self) -> Sequence[type[Task]]:
        return self.tasks


class ToyPlugin:
    """Two methods, four data sets, and the backbones that `save_tiny` wrote to a folder."""

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
        files = {path.stem: path for path in sorted(self.models.glob("*.safetensors"))}
        return [
            Backbone(
                name,
                name.title(),
                path.with_suffix(".json"),
                path,
                sha256(path),
                default=name == "tiny",
            )
            for name, path in files.items()
        ]


def save_tiny(
    models: Path, name: str = "tiny", seed: int = 0, vision: Mapping[str, object] | None = None
) -> None:
    """Write a tiny CLIP to a folder, as the configuration and weights of a plugin's backbone.

    `vision` changes entries of its image tower's configuration.
    """
    clip = make_tiny_clip(seed=seed)
    architecture = tiny_config()
    if vision:
        architecture["vision_cfg"] |= vision
        torch.manual_seed(seed)
        clip = replace(clip, model=build(architecture))
    facts = {name: value for name, value in asdict(clip.preprocess).items() if name != "resize"}
    config = {**architecture, "preprocess": {**facts, "resize_mode": clip.preprocess.resize}}
    models.mkdir(parents=True, exist_ok=True)
    (models / f"{name}.json").write_text(json.dumps(config))
    save_file(clip.model.state_dict(), models / f"{name}.safetensors")


def registry_of(**plugins: object) -> Registry:
    """A registry of these plugins and of rppbench's tasks, without any other installed plugin."""
    manager = pluggy.PluginManager("rppbench")
    manager.add_hookspecs(hookspecs)
    for name, plugin in {**plugins, "tasks": rppbench_tasks}.items():
        manager.register(plugin, name)
    return Registry(manager)


def toy_registry(models: Path) -> Registry:
    """A registry of the toy plugin and of rppbench's tasks."""
    return registry_of(toys=ToyPlugin(models))
