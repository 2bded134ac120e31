"""What identifies a result: choices, trainings and cells, as plain data.

Standard library only, frozen, and written to JSON and back; the digest of that JSON is the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from rppbench.files.digests import digest

Option = bool | int | float | str


Options = tuple[tuple[str, Option], ...]


Pairs = tuple[tuple[str, str], ...]


def plain(value: Training | Cell) -> dict[str, Any]:
    """The fields that make up an identity.

    A start that is none is no part of it: cells from before trainings had starts keep their keys.
    """
    data = asdict(value)
    training = data if isinstance(value, Training) else data["training"]
    while training is not None:
        following = training["start"]
        if following is None:
            del training["start"]
        training = following
    return data


@dataclass(frozen=True)
class Choice:
    """A component with all its options resolved, defaults included: 'rpp' with kd=True, ..."""

    name: str
    options: Options = ()
    """Sorted by option name."""

    def __getitem__(self, option: str) -> Option:
        return dict(self.options)[option]

    def label(self, defaults: Mapping[str, Option]) -> str:
        """The options that differ from `defaults`, as 'kd=off, length=8' ('' if none)."""
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
    """One learning of prompts; every cell that needs the same one shares it."""

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
    """The training whose prompts this one goes on from; None starts afresh."""

    @cached_property
    def key(self) -> str:
        return digest(plain(self))


def recipe_name(training: Training) -> str:
    """What tables call the recipe: its protocol's name where it is one of several, or its own."""
    protocol = dict(training.recipe.options).get("protocol")
    changes = training.recipe.name.partition("+")[2]
    if not protocol:
        return training.recipe.name
    return f"{protocol}+{changes}" if changes else str(protocol)


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
        return digest(plain(self))

    @cached_property
    def comparability(self) -> str:
        """Digest of all that must agree before two numbers may stand in one table column.

        Method, recipe, teacher and seed are what a table compares; the rest is here.
        """
        shared = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("method", "training", "seed")
        }
        return digest(shared)

    @property
    def imported(self) -> bool:
        """Whether another program predicted: what it took is not known."""
        return any(what == "imported" for what, _ in self.inputs)


def _choice(data: Mapping[str, Any]) -> Choice:
    return Choice(data["name"], tuple((name, value) for name, value in data["options"]))


def _pairs(data: Any) -> Pairs:
    return tuple((name, value) for name, value in data)


def _training(data: Mapping[str, Any]) -> Training:
    start = data.get("start")
    return Training(
        **{
            **data,
            "method": _choice(data["method"]),
            "recipe": _choice(data["recipe"]),
            "inputs": _pairs(data["inputs"]),
            "start": start and _training(start),
        }
    )


def _cell(data: Mapping[str, Any]) -> Cell:
    training = data["training"]
    return Cell(
        **{
            **data,
            "task": _choice(data["task"]),
            "method": _choice(data["method"]),
            "inputs": _pairs(data["inputs"]),
            "training": training and _training(training),
        }
    )
