"""Mean ranks, held against scipy, and letters that say exactly which pairs are separated."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from rppbench.stats.ranks import letters, mean_ranks, split_letters


@pytest.mark.parametrize("seed", range(5))
def test_mean_ranks_equal_scipys_with_ties(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (5, 7)).astype(float)
    expected = stats.rankdata(-values, axis=0).mean(axis=1)
    assert mean_ranks(values.tolist()) == pytest.approx(expected.tolist())


def test_letters_of_an_example() -> None:
    assert letters(3, []) == ["a", "a", "a"]
    assert letters(4, [(0, 2), (0, 3), (1, 3)]) == ["a", "ab", "bc", "c"]
    # Not an interval of the order: the first and last are not separated, the middle is from both.
    assert letters(3, [(0, 1), (1, 2)]) == ["a", "b", "a"]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("rows", [5, 13, 60])
def test_two_rows_share_a_letter_if_and_only_if_they_are_not_separated(
    seed: int, rows: int
) -> None:
    """Rows on a line, separated when far apart, with a tenth of the pairs drawn at random."""
    draw = random.Random(seed)
    place = sorted(draw.uniform(0, 10) for _ in range(rows))
    share = 0.1 if rows < 20 else 0.0
    apart = {
        (a, b)
        for a, b in combinations(range(rows), 2)
        if (draw.random() < 0.5 if draw.random() < share else place[b] - place[a] > 2)
    }
    names = [set(split_letters(text)) for text in letters(rows, apart)]
    for a, b in combinations(range(rows), 2):
        assert bool(names[a] & names[b]) == ((a, b) not in apart)


def test_there_are_letters_for_more_groups_than_the_alphabet_has() -> None:
    """Sixty rows, all separated from each other."""
    names = letters(60, set(combinations(range(60), 2)))
    assert len(set(names)) == 60
    assert names[51:54] == ["Z", "a1", "b1"]
    assert split_letters("aZb1c12d") == ["a", "Z", "b1", "c12", "d"]
