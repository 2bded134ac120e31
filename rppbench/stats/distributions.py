"""Tails and quantiles of Student's t, of chi-square and of the range of normal values.

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


def chi_square_tail(freedom: int, value: float) -> float:
    """P(X > `value`) for a chi-square X with `freedom` degrees of freedom.

    The closed form for integer degrees (Abramowitz and Stegun 26.4.4-5).
    """
    half, odd = value / 2, freedom % 2
    total = math.erfc(math.sqrt(half)) if odd else 0.0
    term = math.exp(-half) * (math.sqrt(half) / math.gamma(1.5) if odd else 1.0)
    for step in range(freedom // 2):
        total += term
        term *= half / (step + (1.5 if odd else 1.0))
    return total


@lru_cache
def range_quantile(k: int, confidence: float) -> float:
    """The q with P(range < q) = `confidence`, for the range of `k` standard normal values.

    Bisects P = k * ∫ φ(z) (Φ(z) - Φ(z - q))^(k - 1) dz.
    """
    steps = [
        index / 20 for index in range(-160, 161)
    ]  # beyond 8, φ adds nothing in double precision
    density = [math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / 20 for z in steps]
    low, high = 0.0, 16.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = [(math.erf(z / 2**0.5) - math.erf((z - middle) / 2**0.5)) / 2 for z in steps]
        total = sum(d * part ** (k - 1) for d, part in zip(density, inside, strict=True))
        low, high = (middle, high) if k * total < confidence else (low, middle)
    return (low + high) / 2
