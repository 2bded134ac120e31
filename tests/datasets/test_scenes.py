"""Scenes of the embedded world as a data set: what is on them, and that nothing leaks."""

from __future__ import annotations

import numpy as np
import pytest

from rppbench.contracts.regions import IGNORED
from rppbench.errors import UsageError
from rppbench.testing import check_dataset
from rppbench_datasets.demo import Vocabulary
from rppbench_datasets.scenes import SEEN, UNSEEN, Scenes, scene


def test_the_set_passes_the_checks_for_data_sets() -> None:
    check_dataset(Scenes, images=20)


def test_unseen_classes_are_those_that_the_vocabulary_holds_out() -> None:
    vocabulary = Vocabulary()
    held_out = {vocabulary.classes[label] for label in vocabulary.held_out()}
    assert (len(SEEN), len(UNSEEN)) == (45, 15)
    assert set(UNSEEN) <= held_out
    assert set(SEEN) <= set(vocabulary.classes) - held_out
    assert [Scenes().classes[label] for label in Scenes().unseen()] == list(UNSEEN)


def test_every_class_is_on_several_of_the_test_scenes() -> None:
    data = Scenes()
    samples = data.samples("test")
    assert len(samples) >= 300
    shown = np.zeros(len(data.classes), int)
    for sample in samples:
        for label in set(scene(sample.key).labels):
            shown[label] += 1
    assert shown.min() >= 8


def test_training_scenes_hold_seen_classes_only() -> None:
    data = Scenes()
    labels = {
        instance.label
        for sample in data.samples("train")[:100]
        for instance in data.instances(sample)
    }
    assert labels <= set(range(len(SEEN)))
    assert len(labels) > 30


def test_label_maps_boxes_and_masks_tell_the_same() -> None:
    data = Scenes()
    for sample in data.samples("test")[:30]:
        labels, instances = data.label_map(sample), data.instances(sample)
        covered = np.zeros_like(labels, bool)
        for instance in instances:
            assert instance.mask is not None
            assert (labels[instance.mask] == instance.label).all()
            assert not covered[instance.mask].any(), "visible parts overlap"
            covered |= instance.mask
            x, y, width, height = (int(side) for side in instance.box)
            inside = instance.mask[y : y + height, x : x + width]
            assert inside.sum() == instance.mask.sum()
            assert inside.any(0)[[0, -1]].all()
            assert inside.any(1)[[0, -1]].all()
        assert (labels[~covered] == IGNORED).all()


def test_scenes_differ_and_come_back_the_same() -> None:
    data = Scenes()
    one, two = data.samples("test")[:2]
    first = np.asarray(data.image(one))
    assert not (first == np.asarray(data.image(two))).all()
    scene.cache_clear()
    assert (first == np.asarray(data.image(one))).all()


def test_objects_hide_each_other_and_differ_in_size() -> None:
    areas = [int(mask.sum()) for n in range(60) for mask in scene(f"test/{n}").masks]
    assert max(areas) > 20 * min(areas)
    hidden = 0
    for number in range(60):
        boxes = scene(f"test/{number}").boxes
        for at, (left, top, right, bottom) in enumerate(boxes):
            others = np.delete(boxes, at, 0)
            hidden += bool(
                (
                    (others[:, 0] < right)
                    & (others[:, 2] > left)
                    & (others[:, 1] < bottom)
                    & (others[:, 3] > top)
                ).any()
            )
    assert hidden > 60


def test_masks_lie_where_the_style_puts_the_things() -> None:
    """What the masks cover stands out from the rest, and more than what a shifted mask covers."""
    contrast = []
    for number in range(20):
        shown = scene(f"test/{number}")
        pixels = np.asarray(shown.image, np.float32)
        mask = shown.masks.any(0)
        elsewhere = np.roll(mask, 72, 0)
        contrast.append(
            np.abs(pixels[mask] - pixels[~mask].mean(0)).mean()
            - np.abs(pixels[elsewhere] - pixels[~elsewhere].mean(0)).mean()
        )
    assert np.mean(contrast) > 3


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(UsageError, match="train"):
        Scenes().samples("val")
