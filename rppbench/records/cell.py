"""What identifies a result: choices, trainings and cells, as plain data.

All are frozen and hashable. Their key is a digest of all their fields as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import msgspec

Option = bool | int | float | str


Options = tuple[tuple[str, Option], ...]


Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Choice:
    """A component with all its options resolved, defaults included: 'rpp' with kd=True, ..."""

    name: str
    options: Options = ()
    """Sorted by option name."""

    def __getitem__(self, option: str) -> Option:
        return dict(self.options)[option]

    def label(self, defaults: Mapping[str, Option]) -> str:
        """The options that differ from `defaults`, as 'kd=off, length=8' ('' without any)."""
        return ", ".join(
            f"{name}={spell(value)}"
            for name, value in self.options
            if name in defaults and defaults[name] != value
        )


def spell(value: Option) -> str:
    """An option's value as the command line takes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Training:
    """One run of learning, shared by every cell that needs it."""

    method: Choice
    recipe: Choice
    source: str
    """The data set whose training images are used."""
    classes: str
    """Which classes of the source: 'all', 'base' or 'seen'."""
    shots: int
    """Training images a class; all of a class that has fewer."""
    seed: int
    backbone: str
    teacher: str | None
    precision: str
    inputs: Pairs = ()
    """(what, digest) of everything that enters: source data, weights, teacher weights."""
    start: Training | None = None
    """The training whose prompts this one continues from; None starts afresh."""

    @cached_property
    def key(self) -> str:
        return key_of(training_data(self))


def recipe_name(training: Training) -> str:
    """What tables call the recipe: its protocol's name where it is one of several, or its own."""
    protocol = dict(training.recipe.options).get("protocol")
    changes = training.recipe.name.partition("+")[2]
    if not protocol:
        return training.recipe.name
    return f"{protocol}+{changes}" if changes else str(protocol)


COMPARABLE = ("task", "dataset", "backbone", "precision", "limit", "inputs")
"""Fields of a cell that agree wherever two numbers may be compared."""


@dataclass(frozen=True)
class Cell:
    """One number's worth of work: a method, learned once, scored on one data set."""

    task: Choice
    dataset: str
    """The data set that is scored."""
    method: Choice
    backbone: str
    precision: str
    seed: int
    limit: int | None
    """At most this many test images (None: all)."""
    training: Training | None
    """None for methods that learn nothing."""
    inputs: Pairs = ()
    """(what, digest) of everything that enters the scoring: data, class names, weights."""

    @cached_property
    def key(self) -> str:
        return key_of(cell_data(self))

    @cached_property
    def comparability(self) -> str:
        """Digest of all that must agree before two numbers may stand in one table column.

        Method, recipe, teacher and seed are what a table compares; the rest is here.
        """
        data = cell_data(self)
        return key_of({name: data[name] for name in COMPARABLE})

    @property
    def imported(self) -> bool:
        """Whether another program predicted: what it took is not known."""
        return any(what == "imported" for what, _ in self.inputs)


def choice_data(choice: Choice) -> dict[str, Any]:
    """As JSON data: the options are one object."""
    return {"name": choice.name, "options": dict(choice.options)}


def training_data(training: Training) -> dict[str, Any]:
    """Every field, as JSON data: the training's identity."""
    return {
        "method": choice_data(training.method),
        "recipe": choice_data(training.recipe),
        "source": training.source,
        "classes": training.classes,
        "shots": training.shots,
        "seed": training.seed,
        "backbone": training.backbone,
        "teacher": training.teacher,
        "precision": training.precision,
        "inputs": dict(training.inputs),
        "start": training.start and training_data(training.start),
    }


def cell_data(cell: Cell) -> dict[str, Any]:
    """Every field, as JSON data: the cell's identity."""
    return {
        "task": choice_data(cell.task),
        "dataset": cell.dataset,
        "method": choice_data(cell.method),
        "backbone": cell.backbone,
        "precision": cell.precision,
        "seed": cell.seed,
        "limit": cell.limit,
        "training": cell.training and training_data(cell.training),
        "inputs": dict(cell.inputs),
    }


_SORTED = msgspec.json.Encoder(order="sorted")


def sorted_json(data: object) -> msgspec.Raw:
    """Compact, with sorted keys."""
    return msgspec.Raw(_SORTED.encode(data))


def key_of(data: object) -> str:
    """The first 12 hex digits of the SHA-256 of the data as compact JSON with sorted keys."""
    return sha256(_SORTED.encode(data)).hexdigest()[:12]
