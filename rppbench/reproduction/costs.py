"""Estimates of what a card costs: cells, trainings, images and floating-point operations.

An estimate counts passes through the towers: each forward pass, and for what is learned a backward
pass through the frozen weights that costs as much. Optimizers, reading of images and heads on
features are left out. Text counts at full length, of which rppbench runs a part, so the training of
text is overestimated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Conditional, Space, Templates
from rppbench.planning.recipes import SUPERVISION
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Choice, Training

SIZES = Path(__file__).with_name("sizes.yaml")
ASSUMED = 10e12
"""Sustained operations a second of the GPU that hours are given for: an assumption."""
BACKWARD = 1
"""Cost of a backward pass through frozen weights, in forward passes."""


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


def estimate(registry: Registry, cells: Sequence[Cell]) -> Cost:
    """What these cells cost together; a training or feature that several share counts once."""
    sizes = _sizes()
    parts = cache(lambda choice: _parts(registry, choice))
    trainings = {cell.training: None for cell in cells if cell.training}
    train_images, operations = 0, 0.0
    for training in trainings:
        images, work = _training(training, parts(training.method), sizes)
        train_images, operations = train_images + images, operations + work
    test_images = 0
    encoded: set[tuple[str, str]] = set()
    for cell in cells:
        of, tower = parts(cell.method), sizes["towers"].get(cell.backbone, {})
        classes, images = sizes["data"].get(cell.dataset, (0, 0))
        if not images or not tower:
            operations = math.nan
            continue
        work = classes * (images if of.conditional else 1) * tower["text"]
        once = (cell.dataset, cell.backbone)
        if of.image or once not in encoded:
            work += images * tower["image"]
            test_images += images
        if not of.image:
            encoded.add(once)
        operations += 1e9 * work
    return Cost(len(cells), len(trainings), train_images, test_images, operations)


def _training(training: Training, parts: _Parts, sizes: Mapping[str, Any]) -> tuple[int, float]:
    """Augmented images of a training, and its floating-point operations."""
    recipe = dict(training.recipe.options)
    classes = sizes["data"].get(training.source, (0, 0))[0]
    if training.classes == "base":
        classes = (classes + 1) // 2
    tower = sizes["towers"].get(training.backbone)
    images = classes * training.shots
    if not images or tower is None:
        return 0, math.nan
    views = int(recipe["views"])
    if not recipe["epochs"]:  # fitted to features of some views
        images *= int(dict(training.method.options).get("views", 1))
        return images, 1e9 * images * tower["image"]
    batch = min(int(recipe["batch"]), images)
    steps = int(recipe["epochs"]) * (images // batch)
    passes = steps * batch * views
    sampled = int(training.method["sampled"])
    texts = min(classes, sampled + batch * views - 1) if sampled else classes
    work = passes * tower["image"] * (1 + BACKWARD * parts.image + parts.frozen_images)
    if parts.text:
        each = batch * views if parts.conditional else 1
        work += steps * each * texts * tower["text"] * (1 + BACKWARD)
    return passes, 1e9 * work


def _parts(registry: Registry, choice: Choice) -> _Parts:
    """Seen from the method's own prompts, on towers of the smallest size."""
    component: type[Method] = registry.get("methods", choice.name)
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


@cache
def _sizes() -> Mapping[str, Any]:
    import yaml

    content: Mapping[str, Any] = yaml.safe_load(SIZES.read_text(encoding="utf-8"))
    return content


def rows(costs: Iterable[tuple[str, Cost]]) -> list[list[str]]:
    """A row of texts for each name and cost, under `HEADS`."""
    return [
        [
            name,
            str(cost.cells),
            str(cost.trainings),
            f"{cost.train_images:,}" if cost.known else "–",
            f"{cost.test_images:,}" if cost.known else "–",
            f"{cost.operations / 1e15:,.1f}" if cost.known else "–",
            f"{cost.hours:,.1f}" if cost.known else "–",
        ]
        for name, cost in costs
    ]


HEADS = (
    *("Card", "Cells", "Trainings", "Training images", "Test images"),
    *("PFLOP (estimate)", "GPU hours (estimate)"),
)
