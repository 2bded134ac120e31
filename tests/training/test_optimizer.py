"""Learning rates by epoch, against what published schedules give."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rppbench.contracts.recipe import Recipe
from rppbench.errors import UsageError
from rppbench.training.optimizer import learning_rate


@pytest.mark.parametrize(
    ("epochs", "lr", "last"),
    [(10, 0.002, 1.91e-4), (5, 0.0035, 1.21e-3), (2, 0.0026, 2.6e-3), (20, 0.0025, 6.1e-5)],
)
def test_the_schedule_ends_where_the_published_ones_end(
    epochs: int, lr: float, last: float
) -> None:
    """Last-epoch rates of CoCoOp, MaPLe (both recipes) and PromptSRC, from their schedules."""
    recipe = dict(Recipe("r", epochs=epochs, batch=1, lr=lr).choice().options)
    assert learning_rate(recipe, 0) == 1e-5
    assert learning_rate(recipe, 1) == lr
    assert learning_rate(recipe, epochs - 1) == pytest.approx(last, rel=0.005)


def test_the_squared_schedule_is_two_cosines_on_one_optimiser() -> None:
    """As logged for KgCoOp: 100 epochs, 0.002, a factor of the cosine twice."""
    once, twice = (
        dict(Recipe("r", epochs=100, batch=1, lr=0.002, schedule=name).choice().options)
        for name in ("cosine", "cosine-squared")
    )
    assert learning_rate(twice, 0) == 1e-5
    assert learning_rate(twice, 1) == 0.002
    assert learning_rate(twice, 51) == pytest.approx(0.0005)
    for epoch in range(1, 100):
        assert learning_rate(twice, epoch) == pytest.approx(learning_rate(once, epoch) ** 2 / 0.002)


def test_an_unknown_schedule_is_a_mistake_and_says_so() -> None:
    with pytest.raises(UsageError, match="did you mean 'cosine'"):
        learning_rate({"epochs": 1, "warmup_epochs": 0, "lr": 1.0, "schedule": "cosin"}, 0)


def test_every_value_that_changes_a_number_is_in_the_identity_of_a_recipe() -> None:
    recipe = Recipe("test-1", epochs=3, batch=4, lr=0.05, augment="none")
    assert dict(recipe.choice().options) == {**recipe.values(), "protocol": ""}
    squared = replace(recipe, schedule="cosine-squared").choice()
    assert dict(squared.options)["schedule"] == "cosine-squared"
