"""Tails and quantiles of Student's t.

Written without scipy, whose distributions take longer to import than a leaderboard takes to print;
the tests compare them with scipy's.
"""

from __future__ import annotations

import math
from functools import lru_cache


@lru_cache
def t_quantile(degrees: int, confidence: float) -> float:
    """The t with P(|T| < t) = `confidence`, for Student's T with `degrees` degrees of freedom.

    Bisects the closed form of the probability for integer degrees of freedom (Abramowitz and
    Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4). ValueError unless `degrees` is
    at least 1 and `confidence` between 0 and 1.
    """
    if degrees < 1 or not 0 < confidence < 1:
        raise ValueError(f"no t for {degrees} degrees of freedom at confidence {confidence}")
    low, high = 0.0, math.pi / 2  # of the angle atan(t / sqrt(degrees))
    for _ in range(100):  # more halvings than a float has bits
        middle = (low + high) / 2
        if _probability(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def t_probability(t: float, degrees: int) -> float:
    """P(|T| < t) for Student's T with `degrees` >= 1 degrees of freedom."""
    return _probability(math.atan(t / math.sqrt(degrees)), degrees)


def _probability(angle: float, degrees: int) -> float:
    """P(|T| < sqrt(degrees) * tan(angle))."""
    square = math.cos(angle) ** 2
    odd = degrees % 2
    # Both series run over every second power of the cosine, each term a multiple of the last.
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= square * (power + 1) / (power + 2)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
