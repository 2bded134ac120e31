"""The simulation of `interval_coverage` on fewer trials: 95 % intervals hold 93 to 97 %."""

from __future__ import annotations

import math

import pytest
from support.simulations import interval_coverage as simulation

TRIALS = 400


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize(
    "tested",
    [simulation.ONE_SET, simulation.SHARED, simulation.OWN, simulation.DRAW],
    ids=lambda one: one.title,
)
@pytest.mark.parametrize("seeds", [1, 3, 10])
@pytest.mark.parametrize("regime", range(3))
def test_intervals_hold_the_truth_as_often_as_they_say(
    regime: int, seeds: int, tested: simulation.Tested, clustered: bool
) -> None:
    share = simulation.coverage(simulation.REGIMES[regime], seeds, tested, clustered, TRIALS)
    error = 100 * math.sqrt(0.95 * 0.05 / TRIALS)  # of the measured share
    assert 93 - 2.5 * error < share < 97 + 2.5 * error


@pytest.mark.slow
def test_taking_the_renders_of_a_drawing_for_independent_would_cover_too_little() -> None:
    regime = simulation.REGIMES[0]
    assert simulation.coverage(regime, 1, simulation.ONE_SET, True, TRIALS, known=False) < 90
