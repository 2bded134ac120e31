"""The rates of every published recipe, epoch by epoch, and the numbers that papers quote."""

from __future__ import annotations

import math

import pytest
import torch

from rppbench.contracts.learning import Supervision
from rppbench.contracts.method import Method
from rppbench.contracts.objective import Step
from rppbench.contracts.recipe import Recipe, select
from rppbench.plugins.registry import Registry
from rppbench.training.optimizer import learning_rate

METHODS: dict[str, type[Method]] = Registry.load().all("methods")
PUBLISHED = [
    (name, recipe)
    for name, method in METHODS.items()
    for recipe in (method.learning.recipes if method.learning else ())
    if recipe.suite != "demo-2" and recipe.epochs
]
LAST = {
    "cocoop-1": 1.91e-4,
    "maple-1": 1.21e-3,
    "maple-transfer-1": 2.6e-3,
    "vpt-1": 8.6e-4,
    "promptsrc-1": 6.1e-5,
    "promptsrc-transfer-1": 6.1e-5,
    "pomp-5-1": 6.9e-4,
}
"""Rates of the last epoch that follow from Dassl's scheduler, to the digits that are quoted."""


def by_name(name: str) -> Recipe:
    return next(recipe for _, recipe in PUBLISHED if recipe.name == name)


@pytest.mark.parametrize("name", LAST)
def test_the_last_epoch_has_the_published_rate(name: str) -> None:
    recipe = by_name(name)
    last = learning_rate(dict(recipe.choice().options), recipe.epochs - 1)
    assert last == pytest.approx(LAST[name], rel=0.01)


@pytest.mark.parametrize(("name", "recipe"), PUBLISHED, ids=[r.name for _, r in PUBLISHED])
def test_every_epoch_has_dassls_rate(name: str, recipe: Recipe) -> None:
    """A constant warm-up, then lr (1 + cos(pi (e - 2) / E)) / 2 for e = 2..E.

    The warm-up has a rate of 1e-5, in POMP's second stage 1e-4.
    """
    values = dict(recipe.choice().options)
    if recipe.schedule == "cosine-steps":  # torch's cosine over all steps
        peak, least = {"clip-lora": (2e-4, 1e-6), "tip-adapter-f": (1e-3, 0.0)}[name]
        rates = [learning_rate(values, 0, passed) for passed in (0.0, 0.5, 1.0)]
        assert rates == pytest.approx([peak, (peak + least) / 2, least])
        return
    if recipe.warmup_epochs == 0:  # the cosine of MMA and one of Tip-Adapter-F starts at once
        assert name in ("tip-adapter-f", "mma")
        rates = [learning_rate(values, 0), learning_rate(values, recipe.epochs // 2)]
        share = (1 + math.cos(math.pi * (recipe.epochs // 2) / recipe.epochs)) / 2
        assert rates == pytest.approx([recipe.lr, recipe.lr * share])
        return
    assert learning_rate(values, 0) == (1e-4 if recipe.name.startswith("pomp-regions") else 1e-5)
    for epoch in range(2, recipe.epochs + 1):
        share = (1 + math.cos(math.pi * (epoch - 2) / recipe.epochs)) / 2
        if recipe.name.startswith("kgcoop-squared"):
            share **= 2
        assert learning_rate(values, epoch - 1) == pytest.approx(recipe.lr * share)


def test_recipes_differ_by_data_set_and_shots_as_published() -> None:
    """TaskRes: train_regular.sh. TCP: train.py and trainers/tcp.py."""

    def chosen(name: str, source: str, shots: int, task: str = "few-shot") -> Recipe:
        learning = METHODS[name].learning
        assert learning is not None
        return select(learning.recipes, task, "coop", source=source, shots=shots)

    for shots, epochs in ((1, 100), (2, 100), (4, 100), (8, 200), (16, 200)):
        for source, alpha, rate in (
            ("dtd", None, 2e-3),
            ("oxford_flowers", 1.0, 2e-3),
            ("imagenet", None, 2e-4),
        ):
            recipe = chosen("taskres", source, shots)
            assert (recipe.epochs, recipe.lr, recipe.batch) == (epochs, rate, 256)
            assert dict(recipe.options).get("alpha") == alpha
    for source, epochs in (("dtd", 50), ("sun397", 25), ("imagenet", 25), ("food101", 50)):
        recipe = chosen("tcp", source, 16, "base-to-new")
        assert (recipe.epochs, recipe.eps, recipe.optimiser) == (epochs, 1e-3, "adam")
    assert chosen("mma", "imagenet", 16).batch == 128
    assert chosen("mma", "dtd", 16).batch == 16
    lora = chosen("clip-lora", "dtd", 4)
    assert (lora.steps_per_shot, lora.batch, lora.eps, lora.weight_decay) == (500, 32, 1e-8, 0.01)


def test_pomps_correction_has_its_published_value() -> None:
    """1.0195 where 1,000 of 10,450 classes are drawn: log10(10,449 / 999)."""
    cosines = torch.randn(1, 1000, generator=torch.Generator().manual_seed(0)) / 30
    step = Step(
        images=torch.ones(1, 1),
        texts=cosines.T,
        classes=torch.arange(1000),
        labels=torch.tensor([7]),
        negatives=torch.arange(1000) != 7,
        total=10_450,
        scale=torch.tensor(100.0),
        supervision=Supervision(sampled=1000),
    )
    logits = 100 * cosines[0]
    shifted = logits + 1.0195
    shifted[7] = logits[7]
    assert step.cross_entropy.item() == pytest.approx(
        (shifted.logsumexp(0) - logits[7]).item(), abs=2e-4
    )
