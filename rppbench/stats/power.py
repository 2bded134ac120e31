"""How many seeds show a difference of a given size, from the spread of a pilot.

The pilot is the comparison that was made (`two_level.Estimate`). More seeds make the seeds' part
of the variance smaller, and not the images' part: more images or data sets are what helps there.
"""

from __future__ import annotations

import numpy as np

from rppbench.stats.two_level import PRIOR_DEGREES, Estimate

MOST_SEEDS = 200
"""More seeds than anyone runs."""
DRAWS = 2000
"""Simulated repetitions of the comparison."""


def power(pilot: Estimate, difference: float, seeds: int, level: float = 0.05) -> float:
    """The probability, in 0..1, that p is below `level` if the true difference is `difference`.

    The pilot's variances are taken as true ones. ValueError for a pilot with one seed, which does
    not show how much seeds vary, and for fewer than two seeds, which would not show it either.
    """
    if seeds < 2 or pilot.seed_count < 2:
        raise ValueError("it takes two seeds to see how much seeds vary")
    random = np.random.default_rng(0)
    degrees = pilot.seed_degrees * (seeds - 1) / (pilot.seed_count - 1)
    degrees = min(degrees, PRIOR_DEGREES + seeds - 1)
    ratio = pilot.seed_count / seeds
    interaction = pilot.interaction * ratio
    spread = max(pilot.seeds, pilot.interaction) * ratio
    means = difference + random.standard_normal(DRAWS) * (pilot.images + spread) ** 0.5
    spreads = spread * random.chisquare(degrees, DRAWS) / degrees
    shown = sum(
        Estimate(
            float(mean),
            pilot.images,
            pilot.image_degrees,
            float(one),
            degrees,
            seeds,
            interaction,
        ).p()
        < level
        for mean, one in zip(means, spreads, strict=True)
    )
    return shown / DRAWS


def seeds_needed(
    pilot: Estimate, difference: float, wanted: float = 0.8, level: float = 0.05
) -> int | None:
    """The fewest seeds, from two on, that show the difference with probability `wanted`.

    None if `MOST_SEEDS` are too few: the images' part alone hides it. The power is taken to rise
    with the number of seeds.
    """
    low, high = 1, 2
    while power(pilot, difference, high, level) < wanted:
        low, high = high, 2 * high
        if high > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(pilot, difference, middle, level) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high
