"""Learning rates by epoch, against what published schedules give."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rppbench.contracts.recipe import Recipe
from rppbench.errors import UsageError
from rppbench.records.cell import Option
from rppbench.training.optimizer import learning_rate, optimiser_of


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


def test_one_cosine_over_all_steps_is_torchs() -> None:
    """CLIP-LoRA: CosineAnnealingLR over all steps, from 2e-4 down to 1e-6."""
    recipe = Recipe(
        "r", epochs=1, batch=1, lr=2e-4, warmup_epochs=0, schedule="cosine-steps", min_lr=1e-6
    )
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40, eta_min=1e-6)
    for step in range(40):
        rate = learning_rate(dict(recipe.choice().options), step // 7, step / 40)
        assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("name", "eps", "expected"),
    [("adam", 0.0, 1e-8), ("adam", 1e-3, 1e-3), ("adamw", 0.0, 1e-4), ("adamw", 1e-8, 1e-8)],
)
def test_eps_is_the_recipes_or_the_usual_one(name: str, eps: float, expected: float) -> None:
    recipe = Recipe("r", epochs=1, batch=1, lr=1.0, optimiser=name, eps=eps)
    optimizer = optimiser_of(dict(recipe.choice().options), [torch.zeros(1)])
    assert type(optimizer).__name__.lower() == name
    assert optimizer.param_groups[0]["eps"] == expected
    assert optimizer.param_groups[0]["weight_decay"] == 5e-4


def test_an_unknown_schedule_is_a_mistake_and_says_so() -> None:
    with pytest.raises(UsageError, match="did you mean 'cosine'"):
        learning_rate({"epochs": 1, "warmup_epochs": 0, "lr": 1.0, "schedule": "cosin"}, 0)


def test_every_value_that_changes_a_number_is_in_the_identity_of_a_recipe() -> None:
    later: dict[str, Option] = {
        "eps": 1e-3,
        "keep_last": True,
        "min_lr": 1e-6,
        "shards": 8,
        "steps": 400,
        "steps_per_shot": 500,
        "tuned": "full",
        "validation": "full",
    }
    plain = Recipe("test-1", epochs=3, batch=4, lr=0.05, augment="none")
    recipe = replace(plain, **later)  # type: ignore[arg-type]
    assert dict(recipe.choice().options) == {**recipe.values(), "protocol": ""}
    assert {**dict(plain.choice().options), **later} == dict(recipe.choice().options)
    assert not later.keys() & dict(plain.choice().options).keys(), "keys of older trainings change"
    squared = replace(recipe, schedule="cosine-squared").choice()
    assert dict(squared.options)["schedule"] == "cosine-squared"
