"""A step of several shards: each batch has its own negatives, and their gradients are averaged."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.training_world import (
    NAMES,
    RECIPE,
    World,
    leaves,
    moved_by_sgd,
    plain_texts,
)
from torch import Tensor

from rppbench.contracts.learning import Supervision
from rppbench.contracts.prompts import Prompt
from rppbench.random_streams import torch_stream
from rppbench_methods.pomp import POMP
from rppbench_methods.rpp import RPP

SAMPLED = Supervision(sampled=3)


def drawn(shard: int) -> list[int]:
    """The two negatives of a shard of the first step, among five classes."""
    stream = torch_stream("classes", "toy", "seen", 3, 0, 0, shard)
    return torch.randperm(5, generator=stream)[:2].tolist()


def pomp_loss(images: Tensor, texts: Tensor, labels: Tensor, negatives: list[int]) -> Tensor:
    """POMP eq. 4-5 image by image: cosines (b, c) times 100, the margin in log10."""
    losses = []
    for image, label in zip(images, labels.tolist(), strict=True):
        others = [negative for negative in negatives if negative != label]
        margin = math.log10(4) - math.log10(max(len(others), 1))
        own = image @ texts[label]
        logits = [own, *(image @ texts[other] + margin for other in others)]
        losses.append(torch.stack(logits).logsumexp(0) - own)
    return torch.stack(losses).mean()


def test_a_step_of_several_shards_is_the_mean_of_their_losses(tmp_path: Path) -> None:
    world = World(tmp_path, POMP, replace(RECIPE, batch=3, shards=5), SAMPLED)
    assert world.trainer.steps == 1
    start = leaves(world.method)
    world.run()
    assert len({tuple(sorted(drawn(shard))) for shard in range(5)}) > 1
    texts = world.scale * plain_texts(world.clip, NAMES, Prompt(start["context"]))
    losses = []
    for shard, picks in enumerate(world.order.split(3)):
        losses.append(pomp_loss(world.features[picks], texts, world.labels[picks], drawn(shard)))
    mean = torch.stack(losses).mean()
    moved_by_sgd(world.method, start, mean)
    assert world.progress is not None
    assert world.progress.log[0]["loss"] == pytest.approx(mean.item(), rel=1e-4)


def test_shards_see_the_batches_of_as_many_steps_of_one_shard(tmp_path: Path) -> None:
    """Views, prompted images, negatives and a teacher included; the weights do not move."""
    still = replace(RECIPE, batch=2, views=2, lr=0.0, weight_decay=0.0)
    options = {"length": 1, "depth": 2}
    supervision = Supervision(sampled=3, kd=True)
    one, several = (
        World(tmp_path / str(shards), RPP, replace(still, shards=shards), supervision, **options)
        for shards in (1, 3)
    )
    assert (one.trainer.steps, several.trainer.steps) == (7, 2)
    one.run()
    several.run()
    assert len(several.steps) == 6
    for ours, theirs in zip(several.steps, one.steps, strict=False):
        for name in ("images", "texts", "classes", "labels", "negatives", "teacher"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


def test_few_images_make_smaller_shards(tmp_path: Path) -> None:
    wide = World(tmp_path, POMP, replace(RECIPE, batch=32, shards=8), SAMPLED)
    wide.run()
    assert [len(step.labels) for step in wide.steps] == [1] * 8
    assert World(tmp_path, POMP, replace(RECIPE, batch=32, shards=99)).trainer.inputs.shards == 15


def test_one_shard_adds_nothing_to_a_key() -> None:
    assert "shards" not in dict(RECIPE.choice().options)
    assert dict(replace(RECIPE, shards=8).choice().options)["shards"] == 8
