"""A training that counts steps for each shot: it ends within an epoch, the rate falls each step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.training_world import RECIPE, World, complete_and_resumed

from rppbench_methods.clip_adapter import CLIPAdapter

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


def test_each_step_has_its_own_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    take = torch.optim.SGD.step

    def watched(optimizer, *given):  # type: ignore[no-untyped-def]
        rates.append(optimizer.param_groups[0]["lr"])
        return take(optimizer, *given)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    World(tmp_path, CLIPAdapter, replace(BY_STEPS, steps_per_shot=1, min_lr=0.002)).run()
    assert rates == pytest.approx([0.01, 0.008, 0.004])
