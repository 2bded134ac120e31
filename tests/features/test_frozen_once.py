"""Methods that leave the image tower frozen run each view of an image once, over many runs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.toy_data import Toy
from support.toy_plugin import Context, Fixed, PluginOf, ToyOne, ToyTwo, registry_of
from support.toy_runner import Workspace

from rppbench.contracts.dataset import Sample
from rppbench.models.clip import Clip
from rppbench.models.image_tower import FULL_BATCH


class Salted(Toy):
    """Images differ between data sets; those of `Toy` are equal where the keys are."""

    def image(self, sample: Sample) -> Image.Image:
        salt = hashlib.sha256(self.name.encode()).digest()[0]
        return super().image(sample).point([value ^ salt for value in range(256)] * 3)


class SaltedOne(Salted, ToyOne):
    pass


class SaltedTwo(Salted, ToyTwo):
    pass


TOYS = PluginOf([Fixed, Context], [Toy, SaltedOne, SaltedTwo])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    return Workspace(registry_of(toys=TOYS), tmp_path, monkeypatch)


def watch(clip: Clip) -> list[str]:
    """Digests of all images that pass a tower from now on, without the padding of a batch."""
    seen: list[str] = []

    def note(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        for image in inputs[0]:
            if image.any():
                seen.append(hashlib.sha256(image.numpy().tobytes()).hexdigest())

    clip.model.visual.register_forward_pre_hook(note)
    return seen


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_no_image_passes_a_frozen_tower_twice_in_a_series_of_runs(
    workspace: Workspace, augment: str
) -> None:
    clip, teacher = workspace.clips["tiny"], workspace.clips["teacher"]
    seen, seen_by_teacher = watch(clip), watch(teacher)
    settings = (("recipe.augment", augment), ("recipe.epochs", "2"), ("recipe.batch", "14"))
    for task, methods, seeds, shots in (
        ("few-shot", ("fixed", "context"), (1, 2), 1),
        ("few-shot", ("context:length=3",), (1,), 2),  # an ablation
        ("base-to-new", ("context",), (2,), 2),
        ("cross-dataset", ("context:kd=on", "context"), (1, 2), 2),
        ("pretraining", ("context:kd=on",), (1,), 2),
    ):
        planned = workspace.plan(
            *methods, task=task, seeds=seeds, shots=(shots,), settings=settings, teacher="teacher"
        )
        assert planned
        assert {record.failure for record in workspace.run(planned, workspace.new())} == {None}
    assert len(seen) == len(set(seen)) == clip.image.images_encoded
    assert len(seen_by_teacher) == len(set(seen_by_teacher)) == teacher.image.images_encoded
    assert len(seen) > 14 + 28  # all test images, and what was learned on
    count = len(seen)
    workspace.run(planned, workspace.new("again"))
    assert len(seen) == count


def test_features_do_not_depend_on_the_other_images_of_the_batch(workspace: Workspace) -> None:
    """Or a record would differ in its last digits by what was stored before it."""
    clip = workspace.clips["tiny"]
    pixels = torch.randn(3 * FULL_BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = clip.image.encode(pixels, batch_invariant=True)
        for count in (1, 2, 3, 5, FULL_BATCH - 1, FULL_BATCH, 2 * FULL_BATCH + 1):
            part = clip.image.encode(pixels[-count:], batch_invariant=True)
            assert torch.equal(part, together[-count:]), count


def test_records_are_equal_whatever_was_stored_before(workspace: Workspace) -> None:
    planned = workspace.plan("context", task="base-to-new", shots=(2,))
    first = workspace.run(planned, workspace.new("first", "first-cache"))
    other = workspace.plan("context", "fixed", task="few-shot", shots=(1,), seeds=(2,))
    workspace.run(other, workspace.new("other", "full-cache"))
    second = workspace.run(planned, workspace.new("second", "full-cache"))
    assert [record.measured() for record in second] == [record.measured() for record in first]
