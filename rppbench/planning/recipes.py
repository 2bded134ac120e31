"""The recipe of a planned training: a published one, with the changes that apply to the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rppbench.contracts.method import Method
from rppbench.contracts.recipe import FALLBACK, Recipe, override
from rppbench.contracts.task import Assignment
from rppbench.data.draws import HELD_OUT_SHOT
from rppbench.errors import UsageError
from rppbench.records.cell import Option

FITTED = "it is fitted in one go, without training steps"
SEARCHES_NOTHING = "it chooses nothing on validation images"


def changed(
    component: type[Method], recipe: Recipe, changes: Mapping[str, Option], notes: dict[str, None]
) -> Recipe:
    """The recipe with those changes that can change a result of the method.

    `notes` takes a line for each change that cannot.
    """
    kept = dict(changes)
    if not recipe.epochs and kept.pop("epochs", 0):
        notes[f"recipe.epochs is left out for {component.name}: {FITTED}"] = None
    if not component.searches:
        if "validation" in kept:
            notes[f"recipe.validation is left out for {component.name}: {SEARCHES_NOTHING}"] = None
            del kept["validation"]
        recipe = replace(recipe, validation=FALLBACK.validation)
    return override(recipe, kept)


def shots_of(assignment: Assignment, recipe: Recipe) -> int:
    """Training images of each class. UsageError if all of them would be held out."""
    shots = assignment.shots or recipe.shots
    if recipe.validation == HELD_OUT_SHOT:
        refuse_single_shot(shots)
    return shots


def refuse_single_shot(shots: int) -> None:
    """UsageError for one shot of each class, which cannot be held out."""
    if shots < 2:
        raise UsageError(
            f"validation={HELD_OUT_SHOT} needs two shots or more: the only one cannot be learned "
            "from and held out"
        )
