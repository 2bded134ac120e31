"""Recipes that keep the incomplete last batch of an epoch, and those that drop it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.training_world import IMAGES, RECIPE, World, complete_and_resumed

from rppbench_methods.coop import CoOp


@pytest.mark.parametrize(
    ("keep", "shards", "sizes"),
    [
        (False, 1, [4, 4, 4]),
        (True, 1, [4, 4, 4, 3]),
        (False, 3, [4, 4, 4]),
        (True, 3, [4, 4, 4, 3]),  # the second step has one shard
    ],
)
def test_an_incomplete_last_batch(
    tmp_path: Path, keep: bool, shards: int, sizes: list[int]
) -> None:
    recipe = replace(RECIPE, batch=4, epochs=2, keep_last=keep, shards=shards)
    world = World(tmp_path, CoOp, recipe, length=2, init="")
    world.run()
    assert [len(step.images) for step in world.steps] == 2 * sizes
    assert world.progress is not None
    assert world.progress.step == 2 * -(-len(sizes) // shards)
    order = world.trainer.inputs.order(0)
    labels = [label for step in world.steps[: len(sizes)] for label in step.labels.tolist()]
    assert labels == world.labels[order][: IMAGES if keep else 12].tolist()


def test_it_is_kept_when_a_training_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPE, batch=4, epochs=2, keep_last=True)
    complete, again = complete_and_resumed(
        lambda name: World(tmp_path / name, CoOp, recipe, length=2, init=""), 3, monkeypatch
    )
    assert complete.method.context.equal(again.method.context)
