"""What identifies a result: choices, trainings and cells, as plain data.

All are frozen and hashable. The key of a training or cell is a digest of all its fields as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import msgspec

CORE_VERSION = 1
"""Version of what all numbers come from: towers, training, evaluation. Increased whenever the same
cell would give another number; part of every key from 2 on."""

EVERY_IMAGE = 1_000_000
"""The number of shots that stands for all training images."""

UNLABELLED = "unlabelled"
"""`Training.classes` of all classes, for a method that learns without their labels."""

Option = bool | int | float | str
"""The value of an option."""

Options = tuple[tuple[str, Option], ...]
"""(name, value) pairs."""

Pairs = tuple[tuple[str, str], ...]
"""(name, text) pairs."""


@dataclass(frozen=True)
class Choice:
    """A component with all its options resolved, defaults included: 'rpp' with kd=True, ..."""

    name: str
    options: Options = ()
    """Sorted by option name."""

    def __getitem__(self, option: str) -> Option:
        return dict(self.options)[option]

    @cached_property
    def json(self) -> msgspec.Raw:
        """The choice as sorted JSON, which keys are made of; kept, as many cells share a choice."""
        return sorted_json(choice_data(self))

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


def shots_text(shots: int) -> str:
    """'16 shots', for a person."""
    if shots >= EVERY_IMAGE:
        return "all images"
    return "1 shot" if shots == 1 else f"{shots} shots"


@dataclass(frozen=True)
class Training:
    """One run of learning, shared by every cell that needs it."""

    method: Choice
    recipe: Choice
    source: str
    """The data set whose training images are used."""
    classes: str
    """Which classes of the source: 'all', 'base', 'seen' or `UNLABELLED`."""
    shots: int
    """Training images per class; a class with fewer images gives all of them."""
    seed: int
    backbone: str
    teacher: str | None
    precision: str
    inputs: Pairs = ()
    """(name, digest) of every input: source data, weights, teacher weights."""
    start: Training | None = None
    """The training whose prompts this one continues; None if it starts from new prompts."""
    draw: str = ""
    """How its images are drawn: '' as CoOp does, 'long-tail:10' with fewer shots of most classes,
    or the name of a draw in a file, whose digest is the input 'draw:SOURCE'."""

    @cached_property
    def key(self) -> str:
        return key_of(training_data(self, _encoded))

    @property
    def chain(self) -> tuple[Training, ...]:
        """This training, the one that it continues, and so on."""
        return (self, *(self.start.chain if self.start else ()))


def recipe_name(training: Training) -> str:
    """The recipe's name in tables: that of its protocol if it has one, else its own."""
    protocol = dict(training.recipe.options).get("protocol")
    changes = training.recipe.name.partition("+")[2]
    if not protocol:
        return training.recipe.name
    return f"{protocol}+{changes}" if changes else str(protocol)


COMPARABLE = ("task", "dataset", "backbone", "precision", "limit", "inputs")
"""Fields of a cell that must be equal for two numbers to be comparable."""


DRAW = "draw:"
"""Start of the name of the input that holds the digest of a draw in a file."""
PARTIAL = ("partial", "fewer images than published")
"""The input that marks cells of which data sets may lack images."""
QUICK = ("quick", "few training steps and test images")
"""The input that marks cells of `--quick`."""
MARKS = {
    PARTIAL: "PARTIAL data: fewer images than published, so no number is a published one's",
    QUICK: "QUICK look: one seed, few training steps and test images, so no number is a result",
}
"""What tables say of the inputs that keep cells apart from complete ones."""
SPLIT = "split:"
"""Start of the name of the input that says by which rule a data set was split."""
METHOD = "method:"
"""Start of the name of the input that holds the version of a cell's method."""


@dataclass(frozen=True)
class Cell:
    """The unit of work: one method, learned once and scored on one data set."""

    task: Choice
    dataset: str
    """The data set that is scored."""
    method: Choice
    backbone: str
    precision: str
    seed: int
    limit: int | None
    """Largest number of test images to score; None for all."""
    training: Training | None
    """None for methods that learn nothing."""
    inputs: Pairs = ()
    """(name, digest) of every input of the scoring: data, class names, weights."""

    @cached_property
    def key(self) -> str:
        return key_of(cell_data(self, _encoded))

    @cached_property
    def comparability(self) -> str:
        """Digest of all fields that must be equal for two numbers to share a table column.

        It leaves out method, recipe, teacher and seed, which are what a table compares.
        """
        data = cell_data(self, _encoded)
        return comparability_of({name: data[name] for name in COMPARABLE}, data["inputs"])

    @property
    def all_inputs(self) -> Pairs:
        """`inputs`, and those of its trainings."""
        return (*self.inputs, *(pair for one in self.trainings for pair in one.inputs))

    @property
    def trainings(self) -> tuple[Training, ...]:
        """The training, the one that it continues, and so on; () if nothing is learned."""
        return () if self.training is None else self.training.chain

    @property
    def trained_on(self) -> frozenset[str]:
        """The data sets of its trainings; '' is one that is not known."""
        return frozenset(one.source if not self.imported else "" for one in self.trainings)

    @property
    def marks(self) -> tuple[str, ...]:
        """Why its numbers stand beside no others; () for a complete cell."""
        return tuple(text for mark, text in MARKS.items() if mark in self.inputs)

    @property
    def imported(self) -> bool:
        """Whether another program made the predictions, so that their cost is unknown."""
        return any(name == "imported" for name, _ in self.inputs)


def choice_data(choice: Choice) -> dict[str, Any]:
    """The choice as JSON data, with its options as one object."""
    return {"name": choice.name, "options": dict(choice.options)}


def _encoded(choice: Choice) -> msgspec.Raw:
    return choice.json


def training_data(
    training: Training, data_of: Callable[[Choice], object] = choice_data
) -> dict[str, Any]:
    """All fields of the training as JSON data: its identity. `data_of` gives that of a choice."""
    draw = {"draw": training.draw} if training.draw else {}
    return {
        **draw,
        "method": data_of(training.method),
        "recipe": data_of(training.recipe),
        "source": training.source,
        "classes": training.classes,
        "shots": training.shots,
        "seed": training.seed,
        "backbone": training.backbone,
        "teacher": training.teacher,
        "precision": training.precision,
        "inputs": dict(training.inputs),
        "start": training.start and training_data(training.start, data_of),
    }


def cell_data(cell: Cell, data_of: Callable[[Choice], object] = choice_data) -> dict[str, Any]:
    """All fields of the cell as JSON data: its identity. `data_of` gives that of a choice."""
    return {
        "task": data_of(cell.task),
        "dataset": cell.dataset,
        "method": data_of(cell.method),
        "backbone": cell.backbone,
        "precision": cell.precision,
        "seed": cell.seed,
        "limit": cell.limit,
        "training": cell.training and training_data(cell.training, data_of),
        "inputs": dict(cell.inputs),
    }


def comparability_of(data: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The digest of the `COMPARABLE` fields of a cell, of which `inputs` is one.

    The version of a method is left out, as the method is.
    """
    if any(name.startswith(METHOD) for name in inputs):
        kept = {name: value for name, value in inputs.items() if not name.startswith(METHOD)}
        data = {**data, "inputs": kept}
    return key_of(data)


_SORTED = msgspec.json.Encoder(order="sorted")


def sorted_json(data: object) -> msgspec.Raw:
    """The data as compact JSON with sorted keys."""
    return msgspec.Raw(_SORTED.encode(data))


def key_of(data: object) -> str:
    """The first 12 hex digits of the SHA-256 of the data as compact JSON with sorted keys."""
    return sha256(_SORTED.encode(data)).hexdigest()[:12]
