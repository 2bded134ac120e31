"""Student's t and the intervals over seeds, held against scipy."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from rppbench.stats.distributions import t_quantile
from rppbench.stats.intervals import Interval, interval


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_the_t_quantile_equals_scipys(confidence):
    for degrees in (*range(1, 41), 99, 100, 499, 1000):
        expected = scipy_stats.t.ppf((1 + confidence) / 2, degrees)
        assert t_quantile(degrees, confidence) == pytest.approx(expected, rel=1e-10)


def test_the_interval_equals_scipys():
    values = [61.25, 63.5, 60.875, 62.0]
    low, high = scipy_stats.t.interval(
        0.95, 3, loc=np.mean(values), scale=scipy_stats.sem(values, ddof=1)
    )
    result = interval(values)
    assert result.n == 4
    assert result.half_width is not None
    assert result.mean - result.half_width == pytest.approx(low, rel=1e-12)
    assert result.mean + result.half_width == pytest.approx(high, rel=1e-12)


def test_one_value_has_no_interval_rather_than_one_of_width_zero():
    assert interval([50.0]) == Interval(50.0, None, 1)
    assert interval([50.0, 50.0]) == Interval(50.0, 0.0, 2)


def test_no_values_and_impossible_confidences_are_refused():
    with pytest.raises(ValueError, match="no values"):
        interval([])
    for degrees, confidence in ((0, 0.95), (2, 0.0), (2, 1.0), (2, math.nan)):
        with pytest.raises(ValueError, match="no t"):
            t_quantile(degrees, confidence)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_interval_covers_the_truth_as_often_as_it_says(n):
    truth, draws = 70.0, 4000
    samples = np.random.default_rng(n).normal(truth, 2.0, (draws, n))
    covered = 0
    for sample in samples:
        result = interval(sample.tolist())
        assert result.half_width is not None
        covered += abs(result.mean - truth) <= result.half_width
    error = math.sqrt(0.95 * 0.05 / draws)  # standard error of the measured coverage
    assert covered / draws == pytest.approx(0.95, abs=4 * error)
