"""The data sets of the embedded world: splits, classes, groups, and images that depend on keys."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from rppbench.errors import UsageError
from rppbench.testing import check_dataset
from rppbench_datasets import rppbench_datasets
from rppbench_datasets.demo import SETS, Animals, Backgrounds, Plain, Rendered, Vocabulary
from rppbench_datasets.scenes import Objects, Scenes
from rppbench_datasets.world import render
from rppbench_datasets.world.styles import OTHERS, PLAIN, STYLE, apply

KINDS = list(SETS)
NAMES = [kind.name for kind in KINDS]
TRANSFER = [kind for kind in KINDS if kind.role == "transfer"]
SHIFTS = [kind for kind in KINDS if kind.role == "shift"]


def shown(data: Rendered, split: str) -> set[str]:
    """Keys of the drawings in the images of a split."""
    return {data.drawing(sample).key for sample in data.samples(split)}


def test_no_set_tests_on_what_another_set_learns_from() -> None:
    by_split = {
        split: {key for kind in KINDS if split in kind.splits for key in shown(kind(), split)}
        for split in ("train", "val", "test")
    }
    for one, other in combinations(by_split.values(), 2):
        assert not one & other


def test_there_are_ten_transfer_sets_a_large_source_and_four_shifts() -> None:
    assert (len(TRANSFER), len(SHIFTS)) == (10, 4)
    assert [kind for kind in KINDS if kind.role == "source" and kind.large] == [Vocabulary]
    suite = [kind for kind in rppbench_datasets() if kind.suite == "demo-2"]
    assert suite == [*SETS, Scenes, Objects]
    sizes = [len(kind().samples("test")) for kind in TRANSFER]
    assert max(sizes) < 0.25 * sum(sizes)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_class_names_are_plain_and_unique(kind: type[Rendered]) -> None:
    classes = kind().classes
    assert len({name.lower() for name in classes}) == len(classes)
    assert all(name.isascii() and name == " ".join(name.split()) for name in classes)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_splits_cover_every_class_and_drawing_equally(kind: type[Rendered]) -> None:
    data = kind()
    for split in data.splits:
        samples = data.samples(split)
        counts = Counter(sample.label for sample in samples)
        assert set(counts) == set(range(len(data.classes)))
        drawn = [len(c.pool(split)) if split == "test" else 1 for c in data.concepts]
        assert len({counts[label] / drawn[label] for label in counts}) == 1
        assert len({sample.key for sample in samples}) == len(samples)
    if kind.role == "transfer":
        assert 100 <= len(data.samples("test")) <= 1000


def test_shots_of_a_class_show_all_its_drawings_in_turn() -> None:
    data = Animals()
    for label, concept in enumerate(data.concepts):
        keys = [data.drawing(s).key for s in data.samples("train") if s.label == label]
        counts = Counter(keys)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert set(counts) == {drawing.key for drawing in concept.pool("train")}


def test_shift_sets_have_the_same_classes_and_all_are_in_the_vocabulary() -> None:
    classes = [kind().classes for kind in SHIFTS]
    assert all(names == classes[0] for names in classes)
    assert len(classes[0]) == 200
    assert set(classes[0]) <= set(Vocabulary().classes)
    with pytest.raises(UsageError, match=r"demo-2-plain.*train"):
        Plain().samples("train")


def test_the_vocabulary_marks_held_out_and_transferred_classes() -> None:
    data = Vocabulary()
    assert 0.15 < len(data.held_out()) / len(data.classes) < 0.25
    names = {name for kind in TRANSFER for name in kind().classes}
    assert {data.classes[label] for label in data.transferred()} == names


def test_a_group_is_a_drawing_and_lies_within_a_class() -> None:
    data = Animals()
    samples = data.samples("test")
    labels: dict[str, set[int]] = {}
    for sample in samples:
        labels.setdefault(data.group(sample), set()).add(sample.label)
    assert all(len(each) == 1 for each in labels.values())
    assert len(labels) == sum(len(concept.pool("test")) for concept in data.concepts)
    assert len(samples) == data.renders * len(labels)


def test_images_are_renders_in_the_style_of_their_set() -> None:
    for kind in (Animals, Plain, *SHIFTS):
        data = kind()
        sample = data.samples("test")[7]
        ground = "pattern" if kind is Backgrounds else "texture"
        plain = render.single(data.drawing(sample), f"{data.name}/{sample.key}", ground)
        expected = apply(data.style, np.asarray(plain))
        assert (np.asarray(data.image(sample)) == expected).all()
    assert {kind.style for kind in SHIFTS} == {PLAIN, STYLE, *OTHERS}


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_images_depend_on_nothing_but_their_key(kind: type[Rendered]) -> None:
    first, second = kind(), kind()
    for split in first.splits:
        samples = random.Random(0).sample(list(first.samples(split)), 5)
        once = [np.asarray(first.image(sample)) for sample in samples]
        np.random.seed(3)
        again = [np.asarray(second.image(sample)) for sample in reversed(samples)][::-1]
        for one, other in zip(once, again, strict=True):
            assert one.shape == (render.SIDE, render.SIDE, 3)
            assert (one == other).all()
        assert not (once[0] == once[1]).all()


def test_two_renders_of_one_drawing_differ() -> None:
    data = Animals()
    samples = data.samples("test")
    one, other, *_ = (s for s in samples if data.drawing(s) == data.drawing(samples[0]))
    assert (np.asarray(data.image(one)) != np.asarray(data.image(other))).mean() > 0.5


def test_fingerprints_tell_sets_apart_and_follow_class_names() -> None:
    assert len({kind().fingerprint() for kind in KINDS}) == len(KINDS)

    class Fewer(Animals):
        concepts = Animals().concepts[:-1]

    assert Fewer().fingerprint() != Animals().fingerprint() == Animals().fingerprint()


def test_every_set_states_its_facts() -> None:
    for kind in KINDS:
        assert kind.title
        assert kind.licence
        assert kind.__doc__


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_set_passes_the_checks_for_data_sets(kind: type[Rendered]) -> None:
    check_dataset(kind)
