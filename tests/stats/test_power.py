"""Power held against the noncentral t distribution, where seeds are all that varies."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scipy import stats

from rppbench.stats.power import DRAWS, power, seeds_needed
from rppbench.stats.two_level import Estimate


def exact(effect: float, seeds: int, level: float = 0.05) -> float:
    """Power of a t-test; `effect` is the difference over the standard deviation of seeds."""
    critical = stats.t.isf(level / 2, seeds - 1)
    shift = effect * math.sqrt(seeds)
    return float(
        stats.nct.sf(critical, seeds - 1, shift) + stats.nct.cdf(-critical, seeds - 1, shift)
    )


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("effect", [0.0, 0.8, 2.0])
def test_with_seeds_alone_it_is_the_power_of_the_t_test(seeds: int, effect: float) -> None:
    deviation, runs = 0.02, 3
    pilot = Estimate(0.1, 0.0, math.inf, deviation**2 / runs, runs - 1, runs)
    expected = exact(effect, seeds)
    error = math.sqrt(max(expected * (1 - expected), 0.001) / DRAWS)
    assert power(pilot, effect * deviation, seeds) == pytest.approx(expected, abs=4 * error)


def test_data_sets_with_trainings_of_their_own_need_fewer_seeds() -> None:
    """The same spread of the average, known better: 6 degrees of freedom of three seeds, not 2."""
    spread, effect = 0.02, 1.0
    pilot = Estimate(0.1, 0.0, math.inf, spread**2 / 3, 6, 3)
    degrees, shift = 8, effect * math.sqrt(5)
    critical = stats.t.isf(0.025, degrees)
    expected = stats.nct.sf(critical, degrees, shift) + stats.nct.cdf(-critical, degrees, shift)
    assert power(pilot, effect * spread, 5) == pytest.approx(expected, abs=0.05)
    assert seeds_needed(pilot, 0.02) < seeds_needed(replace(pilot, seed_degrees=2), 0.02)


def test_the_seeds_that_are_needed_are_the_first_with_enough_power() -> None:
    pilot = Estimate(0.0, 0.0, math.inf, 0.01**2 / 3, 2, 3)
    needed = seeds_needed(pilot, 0.012)
    assert needed in (8, 9)
    assert exact(1.2, 8) == pytest.approx(0.83, abs=0.02)
    assert seeds_needed(pilot, 1.0) == 2


def test_no_number_of_seeds_makes_up_for_too_few_images() -> None:
    pilot = Estimate(0.0, 0.01**2, 500.0, 0.001**2, 2, 3)
    assert seeds_needed(pilot, 0.01) is None
    assert power(pilot, 0.01, 100) < 0.2


def test_one_seed_shows_nothing_about_seeds() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        power(Estimate(0.1, 0.01, 10.0, 0.0, 0, 1), 0.1, 3)
    with pytest.raises(ValueError, match="two seeds"):
        power(Estimate(0.1, 0.01, 10.0, 0.1, 2, 3), 0.1, 1)
