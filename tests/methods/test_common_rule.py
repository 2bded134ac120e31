"""Recipes of the embedded world follow the rule of `datasets/world/README.md`."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean

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


RATES = Path(__file__).parents[2] / "leaderboards/embedded/rates"
"""Pages of the searches: of each method, or of several forms of it ('rpp', 'rpp-kd-off')."""


def _searches(method: str, ending: str = "") -> list[dict[float, float]]:
    """Mean validation accuracy by rate, of the searches of each form of a method."""
    row = re.compile(r"^\| ([0-9.]+) \| \d+ \| ([0-9.]+) \|", re.M)
    pages = [*RATES.glob(f"{method}{ending}.md"), *RATES.glob(f"{method}-kd-*{ending}.md")]
    forms = [page for page in pages if page.stem.endswith("-seeds") == bool(ending)]
    return [{float(r): float(mean) for r, mean in row.findall(p.read_text())} for p in forms]


def _means(searches: list[dict[float, float]]) -> dict[float, float]:
    """Mean over the forms of a method, of rates that all of them tried, in the order of trial."""
    assert searches, "its rate was searched"
    tried = [rate for rate in searches[0] if all(rate in search for search in searches)]
    return {rate: fmean(search[rate] for search in searches) for rate in tried}


@pytest.mark.parametrize("method", sorted(LEARNED))
def test_a_recipe_has_the_rate_that_was_best_on_validation_images(method: str) -> None:
    one_seed, two_more = _means(_searches(method)), _means(_searches(method, "-seeds"))
    assert set(two_more) == {*sorted(one_seed, key=lambda rate: -one_seed[rate])[:2]}
    sums = {rate: round(one_seed[rate] + 2 * mean, 6) for rate, mean in two_more.items()}
    best = max(sorted(sums), key=lambda rate: sums[rate])  # of equals the lower one
    assert min(one_seed) < best < max(one_seed), "a rate was tried on each side"
    assert {_recipe(method, task).lr for task in STEPS} == {best}
