"""Recipes of version 2 of the embedded world follow the rule of `datasets/world/README.md`."""

from __future__ import annotations

import pytest

from rppbench.contracts.method import Method
from rppbench.contracts.recipe import Recipe, select
from rppbench.plugins.registry import Registry

METHODS: dict[str, type[Method]] = Registry.load().all("methods")
STEPS = {
    **dict.fromkeys(("cross-dataset", "cross-domain", "pretraining", "segmentation"), 400),
    **dict.fromkeys(("few-shot", "base-to-new", "fine-tune"), 200),
}
"""Training steps of each task: fewer where few classes are learned."""
SOLVED = ("gda", "linear-probe", "tip-adapter")
"""Methods that learn without training steps."""
LEARNED = sorted({name for name, method in METHODS.items() if method.learning} - {*SOLVED})


def _recipe(method: str, task: str) -> Recipe:
    learning = METHODS[method].learning
    assert learning
    return select(learning.recipes, task, "demo-2", source="demo-2-vocabulary", shots=4)


@pytest.mark.parametrize("task", STEPS)
@pytest.mark.parametrize("method", LEARNED)
def test_each_learned_method_takes_the_same_steps(method: str, task: str) -> None:
    recipe = _recipe(method, task)
    rule = (STEPS[task], 32, "cosine-steps", 0, "none", 4, 1)
    assert rule == (
        *(recipe.steps, recipe.batch, recipe.schedule, recipe.warmup_epochs),
        *(recipe.augment, recipe.shots, recipe.views),
    )


@pytest.mark.parametrize("method", SOLVED)
def test_a_solved_method_takes_each_image_once(method: str) -> None:
    recipe = _recipe(method, "few-shot")
    views = dict(recipe.options).get("views", 1)
    assert (recipe.epochs, recipe.steps, recipe.augment, views) == (0, 0, "none", 1)
