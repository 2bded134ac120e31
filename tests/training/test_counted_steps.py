"""A training that counts steps, or steps for each shot: it may end within an epoch."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.training_world import RECIPE, World, complete_and_resumed

from rppbench.contracts.recipe import override
from rppbench.errors import UsageError
from rppbench_methods.clip_adapter import CLIPAdapter
from rppbench_methods.promptsrc import PromptSRC

BY_STEPS = replace(RECIPE, batch=4, lr=0.01, steps_per_shot=4, schedule="cosine-steps")


def test_it_takes_the_steps_and_closes_the_last_epoch_early(tmp_path: Path) -> None:
    world = World(tmp_path, CLIPAdapter, BY_STEPS)
    progress = world.trainer.run(tmp_path / "prompts.safetensors")
    assert world.trainer.epoch_steps == 3
    assert progress.step == len(world.steps) == 4 * 3  # three shots
    assert len(progress.log) == 4
    uneven = World(tmp_path / "b", CLIPAdapter, replace(BY_STEPS, batch=7))
    progress = uneven.trainer.run(tmp_path / "b.safetensors")
    assert uneven.trainer.epoch_steps == 2
    assert progress.step == len(uneven.steps) == 12
    cut = World(tmp_path / "c", CLIPAdapter, replace(BY_STEPS, batch=3, steps_per_shot=2))
    progress = cut.trainer.run(tmp_path / "c.safetensors")
    assert cut.trainer.epoch_steps == 5
    assert progress.step == len(cut.steps) == 6
    assert [entry["epoch"] for entry in progress.log] == [1, 2]


@pytest.mark.parametrize("stop", [2, 3, 7])
def test_an_interrupted_one_ends_in_the_same_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    complete, again = complete_and_resumed(
        lambda name: World(tmp_path / name, CLIPAdapter, BY_STEPS), stop, monkeypatch
    )
    for name, value in complete.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[name])


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of each step that is taken."""
    seen: list[float] = []
    take = torch.optim.SGD.step

    def watched(optimizer, *given):  # type: ignore[no-untyped-def]
        seen.append(optimizer.param_groups[0]["lr"])
        return take(optimizer, *given)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    return seen


def test_each_step_has_its_own_rate(tmp_path: Path, rates: list[float]) -> None:
    World(tmp_path, CLIPAdapter, replace(BY_STEPS, steps_per_shot=1, min_lr=0.002)).run()
    assert rates == pytest.approx([0.01, 0.008, 0.004])


def test_steps_do_not_depend_on_shots_and_can_have_a_rate_by_step_or_by_epoch(
    tmp_path: Path, rates: list[float]
) -> None:
    """Eight steps of an epoch of three: the third epoch is begun and not ended."""
    counted = replace(BY_STEPS, steps_per_shot=0, steps=8)
    world = World(tmp_path / "a", CLIPAdapter, counted)
    progress = world.trainer.run(tmp_path / "a.safetensors")
    assert progress.step == len(world.steps) == 8
    by_step = [0.01 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert rates == pytest.approx(by_step)
    rates.clear()
    by_epoch = replace(counted, schedule="cosine", warmup_epochs=0)
    World(tmp_path / "b", CLIPAdapter, by_epoch).run()
    assert rates == pytest.approx([0.01] * 3 + [0.0075] * 3 + [0.0025] * 2)


def test_an_average_over_epochs_has_a_weight_for_each_epoch_that_is_begun(tmp_path: Path) -> None:
    """The recipe's one epoch would give one weight; ten steps of three an epoch begin four."""
    recipe = replace(RECIPE, epochs=1, batch=4, lr=0.01, steps=10)
    world = World(tmp_path, PromptSRC, recipe, depth=2)
    progress = world.trainer.run(tmp_path / "prompts.safetensors")
    assert [entry["epoch"] for entry in progress.log] == [1, 2, 3, 4]


def test_steps_are_counted_in_one_way() -> None:
    with pytest.raises(UsageError, match="steps=3 and steps_per_shot=4"):
        override(BY_STEPS, {"steps": 3})
