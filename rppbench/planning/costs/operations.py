"""The model of what cells cost: cells, trainings, images and floating-point operations.

It counts passes through the towers: each forward pass, and for what is learned a backward pass
through the frozen weights that costs as much. Optimizers, reading of images and heads on features
are left out. A text counts with `TEXT_TOKENS` tokens: rppbench runs no padding. Images of a frozen
tower that are not augmented are encoded once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

import rppbench.torchvision_shim  # noqa: F401  # methods may import open_clip
from rppbench.contracts.dataset import Dataset
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Conditional, Space, Templates
from rppbench.errors import UsageError
from rppbench.models.identity import resolve
from rppbench.models.promptable import config_of
from rppbench.planning.recipes import SUPERVISION
from rppbench.plugins.options import options
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Choice, Training

TOWERS = Path(__file__).with_name("towers.yaml")
ASSUMED = 10e12
"""Sustained operations a second of the GPU that hours are given for: an assumption."""
BACKWARD = 1
"""Cost of a backward pass through frozen weights, in forward passes."""
TEXT_TOKENS = 16
"""Assumed length of a text: context, class name, start and end."""
FULL_LENGTH = 77
"""Tokens that the operations of a text tower are counted for."""
CLASSIFIED = ("source", "transfer", "shift")
"""Roles of data sets whose images pass through the towers once each, at the usual size."""


@dataclass(frozen=True)
class Cost:
    """An estimate."""

    cells: int
    trainings: int
    train_images: int
    """Augmented images that trainings take, all epochs together."""
    test_images: int
    """Images that cells score; those of a frozen tower count once a data set."""
    operations: float
    """Floating-point operations of the towers; nan if a size is not known."""

    @property
    def known(self) -> bool:
        """Whether all sizes are known."""
        return not math.isnan(self.operations)

    @property
    def hours(self) -> float:
        """Hours at `ASSUMED` operations a second."""
        return self.operations / ASSUMED / 3600


@dataclass(frozen=True)
class Work:
    """Images that are read, and floating-point operations: nan if a size is not known."""

    images: int = 0
    operations: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.images + other.images, self.operations + other.operations)


UNKNOWN = Work(0, math.nan)


@dataclass(frozen=True)
class _Parts:
    """What passes through the towers for a method."""

    text: bool
    """Whether the text is learned."""
    image: bool
    """Whether the image tower is prompted."""
    conditional: bool
    """Whether each image has texts of its own."""
    frozen_images: bool
    """Whether the loss needs the frozen image features too."""


class Operations:
    """What trainings and scorings cost.

    `opened` are data sets by name, which may get more; others have the sizes of published copies.
    `build` builds methods to look at their prompts, which runs their code; without it what they
    say of themselves counts: the towers that they name, and whether their text is conditional.
    """

    def __init__(
        self,
        registry: Registry,
        opened: Mapping[str, Dataset] | None = None,
        build: bool = True,
    ) -> None:
        self.registry = registry
        self.opened = {} if opened is None else opened
        self.parts = cache(self._parts if build else self._named_towers)
        self.tower = cache(self._tower)
        self.size = cache(self._size)
        self.encoded: set[tuple[str, str]] = set()
        """(data set, backbone) whose frozen image features an earlier cell has computed."""

    def of_training(self, training: Training) -> Work:
        """The augmented images of a training, without the one that it continues, and its passes."""
        recipe = dict(training.recipe.options)
        parts, tower = self.parts(training.method), self.tower(training.backbone)
        classes, most = self.size(training.source, "train")
        if training.classes == "base":
            classes, most = (classes + 1) // 2, most and (most + 1) // 2
        images = min(classes * training.shots, most or math.inf)
        if not images or images == math.inf or not tower:
            return UNKNOWN
        if not recipe["epochs"]:  # fitted to features of some views
            images *= int(dict(training.method.options).get("views", 1))
            return Work(int(images), 1e9 * images * tower["image"])
        views, batch = int(recipe["views"]), min(int(recipe["batch"]), int(images))
        a_step = batch * int(recipe.get("shards", 1))
        steps = int(recipe["epochs"]) * (images // a_step)
        steps = int(recipe.get("steps_per_shot", 0)) * training.shots or steps
        steps = int(recipe.get("steps", 0)) or steps
        passes = int(steps * a_step * views)
        sampled = int(training.method["sampled"])
        texts = min(classes, sampled + batch * views - 1) if sampled else classes
        if recipe["augment"] == "none" and not parts.image:  # the features are stored
            passes = int(images)
        work = passes * tower["image"] * (1 + BACKWARD * parts.image + parts.frozen_images)
        if parts.text:
            each = a_step * views if parts.conditional else int(recipe.get("shards", 1))
            work += steps * each * texts * tower["text"] * (1 + BACKWARD)
        return Work(passes, 1e9 * work)

    def of_scoring(self, cell: Cell) -> Work:
        """The test images of a cell that no cell before it has encoded, and their passes."""
        parts, tower = self.parts(cell.method), self.tower(cell.backbone)
        classes, images = self.size(cell.dataset, "test")
        images = min(images, cell.limit or images)
        if not images or not classes or not tower:
            return UNKNOWN
        work = classes * (images if parts.conditional else 1) * tower["text"]
        once = (cell.dataset, cell.backbone)
        if not parts.image and once in self.encoded:
            return Work(0, 1e9 * work)
        if not parts.image:
            self.encoded.add(once)
        return Work(images, 1e9 * (work + images * tower["image"]))

    def _size(self, name: str, split: str) -> tuple[int, int]:
        """Classes, and images of a split; 0 for a number that is not known."""
        component: type[Dataset] = self.registry.get("datasets", name)
        if component.role not in CLASSIFIED:
            return 0, 0
        opened = self.opened.get(name)
        if opened is None:
            return component.size or 0, component.counts.get(split, 0)
        try:
            return len(opened.classes), len(opened.samples(split))
        except UsageError:
            return len(opened.classes), 0

    def _tower(self, backbone: str) -> Mapping[str, float]:
        """GFLOP of a forward pass by tower; empty if they are not known."""
        shipped = self.registry.all("backbones")
        source = resolve(backbone, shipped)
        towers = _towers().get(source.model)
        if not towers and (config := config_of(source, shipped)):
            towers = transformers(config)
        if not towers:
            return {}
        return {**towers, "text": towers["text"] * TEXT_TOKENS / FULL_LENGTH}

    def _named_towers(self, choice: Choice) -> _Parts:
        component: type[Method] = self.registry.get("methods", choice.name)
        towers = component.prompted_towers({**options(component), **dict(choice.options)})
        return _Parts("text" in towers, "image" in towers, component.conditional, False)

    def _parts(self, choice: Choice) -> _Parts:
        """Seen from the method's own prompts, on towers of the smallest size."""
        component: type[Method] = self.registry.get("methods", choice.name)
        space = Space(
            text_width=16,
            text_layers=12,
            image_width=16,
            image_layers=12,
            embed=16,
            classes=2,
            words=lambda text: torch.zeros(len(text.split()), 16),
            generator=torch.Generator(),
            teacher_width=16,
        )
        own = {name: value for name, value in choice.options if name not in SUPERVISION}
        method = component(space, **own)
        prompts = method.prompts()
        return _Parts(
            text=not isinstance(prompts.text, Templates),
            image=prompts.image is not None,
            conditional=isinstance(prompts.text, Conditional),
            frozen_images=method.frozen is not None and method.frozen.images,
        )


def estimate(registry: Registry, cells: Sequence[Cell]) -> Cost:
    """What these cells cost together; a training or feature that several share counts once."""
    of = Operations(registry)
    trainings = dict.fromkeys(training for cell in cells for training in cell.trainings)
    learning = sum((of.of_training(training) for training in trainings), Work())
    scoring = sum((of.of_scoring(cell) for cell in cells), Work())
    return Cost(
        len(cells),
        len(trainings),
        learning.images,
        scoring.images,
        learning.operations + scoring.operations,
    )


def transformers(config: Mapping[str, Any]) -> dict[str, float]:
    """GFLOP of a forward pass by tower, of a model of open_clip with two plain transformers.

    Empty for other towers.
    """
    image, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    known = {"width", "patch_size"} <= image.keys() and {"layers", "width"} <= text.keys()
    if not known or not isinstance(image.get("layers"), int):  # timm, the hub, a ResNet
        return {}
    size, patch = image.get("image_size", 224), image["patch_size"]
    patches = (size // patch) ** 2
    embed = config["embed_dim"]
    passes = {
        "image": _blocks(image, patches + 1)
        + 2 * image["width"] * (patches * 3 * patch**2 + embed),
        "text": _blocks(text, text.get("context_length", 77)) + 2 * text["width"] * embed,
    }
    return {tower: operations / 1e9 for tower, operations in passes.items()}


def _blocks(tower: Mapping[str, Any], tokens: int) -> float:
    """Operations of the blocks: four square matrices, attention itself, and the MLP's matrices."""
    width, ratio = tower["width"], tower.get("mlp_ratio", 4.0)
    a_token = width**2 * (4 + 2 * ratio) + 2 * tokens * width
    return float(2 * tower["layers"] * tokens * a_token)


@cache
def _towers() -> Mapping[str, Any]:
    import yaml

    content: Mapping[str, Any] = yaml.safe_load(TOWERS.read_text(encoding="utf-8"))
    return content
