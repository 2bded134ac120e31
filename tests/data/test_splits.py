from __future__ import annotations

import random

import pytest
from support.toy_data import Toy

from rppbench.contracts.dataset import Sample, halves
from rppbench.data.few_shot import few_shot, few_shot_with_val
from rppbench.data.splits import of_classes, spread, training_classes
from rppbench.errors import UsageError


def listing() -> list[Sample]:
    """Classes out of numeric order and mixed, as in split_zhou_OxfordFlowers.json."""
    labels = [4, 4, 1, 4, 0, 0, 1, 1, 1, 0, 3, 4, 0, 1]
    return [Sample(f"image_{i:03}.jpg", label) for i, label in enumerate(labels)]


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("shots", [1, 2, 4, 16])
def test_a_draw_equals_the_global_stream_of_the_published_code(shots: int, seed: int) -> None:
    groups: dict[int, list[str]] = {}
    for sample in listing():
        groups.setdefault(sample.label, []).append(sample.key)
    state = random.getstate()
    random.seed(seed)  # what Dassl does once at program start
    expected = []
    for keys in groups.values():
        expected += random.sample(keys, shots) if len(keys) >= shots else keys
    random.setstate(state)
    assert [sample.key for sample in few_shot(listing(), shots, seed)] == expected


def test_a_draw_leaves_the_global_stream_alone() -> None:
    before = random.getstate()
    few_shot(listing(), 2, 1)
    assert random.getstate() == before


def test_no_shots_is_a_mistake_and_says_so() -> None:
    with pytest.raises(UsageError, match="shots must be at least 1"):
        few_shot(listing(), 0, 1)


def test_base_is_the_larger_first_half_in_numeric_order() -> None:
    assert halves([5, 1, 3, 3, 9, 7]) == ([1, 3, 5], [7, 9])
    assert halves(range(37))[0] == list(range(19))


def test_classes_are_relabelled_by_position() -> None:
    kept = of_classes(listing(), [4, 1])
    assert {sample.label for sample in kept} == {0, 1}
    assert [sample.label for sample in kept][:3] == [0, 0, 1]


def test_seen_classes_leave_the_held_out_ones_away() -> None:
    assert training_classes(Toy(), "seen") == [0, 1, 2, 3, 4]
    assert training_classes(Toy(), "all") == list(range(7))
    assert training_classes(Toy(), "base") == [0, 1, 2, 3]


def test_a_limit_keeps_all_classes_of_a_sorted_list() -> None:
    samples = Toy().samples("test")
    assert {sample.label for sample in spread(samples, 7)} == set(range(7))
    assert spread(samples, None) == samples
    assert spread(samples, 1000) == samples
    with pytest.raises(UsageError, match="limit must be at least 1"):
        spread(samples, 0)


EUROSAT = (3000, 3000, 3000, 2500, 2500, 2000, 2500, 3000, 2500, 3000)
"""Images of each class; half of them are for training, a fifth for validation."""


def test_a_draw_of_train_and_val_equals_what_was_published_for_eurosat() -> None:
    """Positions in the lists: linzhiqiu/cross_modal_adaptation, indices/eurosat/shot_1-seed_1."""
    lists = [
        [Sample(str(at), label) for at, label in enumerate(numbered(sizes))]
        for sizes in ([size // 2 for size in EUROSAT], [size // 5 for size in EUROSAT])
    ]
    train, val = few_shot_with_val(*lists, shots=1, seed=1)
    assert [int(sample.key) for sample in train] == [
        *(275, 2665, 3129, 5022, 5991, 7507, 8920, 10217, 11527, 12429)
    ]
    assert [int(sample.key) for sample in val] == [
        *(96, 1099, 1229, 2257, 2727, 2999, 3421, 3702, 4656, 5256)
    ]


def numbered(sizes: list[int]) -> list[int]:
    """Labels of a list sorted by class."""
    return [label for label, size in enumerate(sizes) for _ in range(size)]
