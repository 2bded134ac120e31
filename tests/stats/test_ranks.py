"""Average ranks, Friedman's and Nemenyi's tests, held against scipy and published examples."""

import math

import numpy as np
import pytest
from scipy import stats

from rppbench.stats.distributions import range_quantile
from rppbench.stats.ranks import MIN_DATASETS, Rank, rank


def rows(seed: int, methods: int, sets: int, spread: float) -> list[list[float]]:
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (methods, sets)) + spread * np.arange(methods)[:, None]
    return [[round(value, 1) for value in of_row] for of_row in values.tolist()]


@pytest.mark.parametrize("k", [2, 3, 5, 10, 30, 52])
def test_the_quantile_of_the_range_equals_scipys(k: int) -> None:
    expected = stats.studentized_range.ppf(0.95, k, math.inf)
    assert range_quantile(k, 0.95) == pytest.approx(expected, rel=1e-6)


def test_the_critical_difference_is_demsars() -> None:
    # His example: 4 classifiers on 14 data sets, q = 2.569, so 1.25.
    result = rank(rows(1, 4, 14, 1.0))
    assert result is not None
    assert result[0].critical == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_ranks_and_friedmans_test_equal_scipys_with_ties(seed: int) -> None:
    values = rows(seed, 4, 7, 0.3)
    assert any(len(set(column)) < 4 for column in zip(*rows(0, 4, 7, 0.3), strict=True))
    result = rank(values)
    assert result is not None
    ranking, ranks = result
    expected = stats.rankdata(-np.array(values), axis=0).mean(axis=1)
    assert [one.mean for one in ranks] == pytest.approx(expected.tolist())
    assert ranking.p == pytest.approx(stats.friedmanchisquare(*values).pvalue, rel=1e-9)
    assert ranking.datasets == 7


def test_rows_that_do_not_differ_significantly_share_a_letter() -> None:
    # Mean ranks 1, 2.4, 2.6, 4 on 10 sets: the critical difference is 1.48.
    best, last = [9.0] * 10, [1.0] * 10
    one, other = [5.0] * 6 + [4.0] * 4, [4.0] * 6 + [5.0] * 4
    result = rank([other, best, last, one])
    assert result is not None
    assert result[0].critical == pytest.approx(1.483, abs=1e-3)
    assert result[1] == [Rank(2.6, "bc"), Rank(1.0, "a"), Rank(4.0, "c"), Rank(2.4, "ab")]


def test_where_friedmans_test_is_not_significant_all_are_one_group() -> None:
    for values in (
        [[1.0] * 6] * 3,
        [[1.0, 2.0, 3.0] * 2, [2.0, 3.0, 1.0] * 2, [3.0, 1.0, 2.0] * 2],
    ):
        result = rank(values)
        assert result is not None
        assert result[1] == [Rank(2.0, "a")] * 3
        assert result[0].p == 1


def test_the_pair_that_is_farthest_apart_needs_friedmans_test_too() -> None:
    random = np.random.default_rng(48)
    lean = np.array([1.2] + [0] * 8 + [-1.2])[:, None]
    result = rank((random.normal(size=(10, 6)) + lean).tolist())
    assert result is not None
    ranking, ranks = result
    means = [one.mean for one in ranks]
    assert max(means) - min(means) > ranking.critical
    assert ranking.p > 0.05
    assert {one.groups for one in ranks} == {"a"}


def test_too_few_data_sets_or_rows_have_no_ranking() -> None:
    assert rank([]) is None
    assert rank(rows(1, 4, MIN_DATASETS - 1, 1.0)) is None
    assert rank(rows(1, 2, 9, 1.0)) is None
    assert rank(rows(1, 53, 9, 1.0)) is None


def test_equal_methods_seldom_differ_significantly() -> None:
    false_alarms = sum(
        len({one.groups for one in result[1]}) > 1
        for seed in range(400)
        if (result := rank(rows(seed, 4, 8, 0.0)))
    )
    assert false_alarms / 400 < 0.07
