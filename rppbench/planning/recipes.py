"""What a planned training, or its pretraining, learns from and how: recipe, shots and draw."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.recipe import FALLBACK, Recipe, override, select
from rppbench.contracts.task import Assignment
from rppbench.data.draws import HELD_OUT_SHOT, LONG_TAIL, imbalance
from rppbench.errors import UsageError
from rppbench.planning.input_digests import InputDigests
from rppbench.plugins.options import options, resolve
from rppbench.records.cell import Choice, Option, Training, spell

SUPERVISION = tuple(Supervision.__dataclass_fields__)
"""Options of every trained method that say how it is supervised, not how it is built."""
FITTED = "it is fitted in one go, without training steps"
SEARCHES_NOTHING = "it chooses nothing on validation images"
QUICK_STEPS = 20
"""Most training steps of `--quick`."""
STEPS = ("epochs", "steps", "steps_per_shot")
"""Values of a recipe that say how long it trains."""
NAMED = re.compile(r"(?:([A-Za-z0-9_-]+)=)?(.+)")
UNNAMED = "file"
"""Name of a draw in a file that was given without one."""


def changed(
    component: type[Method], recipe: Recipe, changes: Mapping[str, Option], notes: dict[str, None]
) -> Recipe:
    """The recipe with those changes that can change a result of the method.

    `notes` takes a line for each change that cannot.
    """
    kept = dict(changes)
    for name in () if recipe.epochs else STEPS:
        if kept.pop(name, 0):
            notes[f"recipe.{name} is left out for {component.name}: {FITTED}"] = None
    for name in ("steps", "steps_per_shot") if recipe.epochs else ():
        if (count := kept.get(name, getattr(recipe, name))) and kept.pop("epochs", 0):
            notes[
                f"recipe.epochs is left out for {component.name}: {recipe.name} counts steps "
                f"({name}={count}); recipe.{name}=0 beside it makes epochs count"
            ] = None
    if not component.searches:
        if "validation" in kept:
            notes[f"recipe.validation is left out for {component.name}: {SEARCHES_NOTHING}"] = None
            del kept["validation"]
        recipe = replace(recipe, validation=FALLBACK.validation)
    return override(recipe, kept)


def few_steps(recipe: Recipe, changes: Mapping[str, Option]) -> dict[str, Option]:
    """The changes, and those that make it a recipe of `QUICK_STEPS` at most.

    They stay as they are if they say how long it trains, or if the method has no training steps.
    """
    if not recipe.epochs or 0 < recipe.steps <= QUICK_STEPS or not changes.keys().isdisjoint(STEPS):
        return dict(changes)
    return {**changes, "steps": QUICK_STEPS, "steps_per_shot": 0}


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


def with_draw(training: Training, text: str, input_digests: InputDigests) -> Training:
    """The training with the draw that `--draw` names: 'long-tail:RATIO' or '[NAME=]FILE'.

    In FILE, '{dataset}', '{shots}' and '{seed}' stand for those of the training. UsageError for a
    ratio below 1, and for a file that is not a draw of this data set and number of shots.
    """
    if text.startswith(LONG_TAIL):
        return replace(training, draw=f"{LONG_TAIL}{imbalance(text):g}")
    match = NAMED.fullmatch(text)
    if match is None:
        raise UsageError("--draw takes [NAME=]FILE or long-tail:RATIO")
    name, place = match[1] or UNNAMED, match[2]
    for word in ("dataset", "shots", "seed"):
        value = training.source if word == "dataset" else getattr(training, word)
        place = place.replace(f"{{{word}}}", str(value))
    path = Path(place).expanduser()
    drawn = input_digests.of_draw(path, training.source, training.shots)
    return replace(training, draw=name, inputs=(*training.inputs, *drawn))


def pretraining(
    component: type[Method],
    method: Choice,
    explicit: Mapping[str, Option],
    suite: str,
    quick: bool = False,
) -> tuple[Choice, Recipe]:
    """Method and recipe of the pretraining of prompts that are tuned afterwards.

    A `quick` one has few steps.

    UsageError if its prompts have another structure; the supervision may differ.
    """
    assert component.learning is not None
    recipe = select(component.learning.recipes, "pretraining", suite)
    before = resolve(component, {**dict(recipe.options), **explicit})
    usual = options(component)
    pretrained, tuned = ({**usual, **dict(choice.options)} for choice in (before, method))
    for name, value in pretrained.items():
        if name not in SUPERVISION and tuned[name] != value:
            raise UsageError(
                f"{component.name!r} is pretrained with {name}={spell(value)} (recipe "
                f"{recipe.name}) and cannot continue with {name}={spell(tuned[name])}; "
                f"say which for both: {component.name}:{name}=..."
            )
    return before, override(recipe, few_steps(recipe, {})) if quick else recipe


def refuse_idle(component: type[Method], method: Choice, recipe: Recipe) -> None:
    """UsageError for supervision of a method that is fitted in one go, without training steps.

    It would change nothing, and a table would have two rows with equal numbers.
    """
    usual = options(component)
    for name in SUPERVISION if not recipe.epochs else ():
        if method[name] != usual[name]:
            raise UsageError(
                f"{component.name}:{name}={spell(method[name])} would change nothing: "
                f"{FITTED}; leave out {name}, "
                f"or give it to one method alone: METHOD:{name}={spell(method[name])}"
            )
