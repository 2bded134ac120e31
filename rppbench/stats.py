"""Means with intervals over seeds.

No scipy here: importing its distributions takes longer than printing a leaderboard may.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, stdev


@dataclass(frozen=True)
class Interval:
    """A mean and how far the truth may be from it."""

    mean: float
    half_width: float | None
    """None where a single value says nothing about its spread."""
    n: int


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean with its t-interval: mean ± t * s / sqrt(n), s with n - 1 in the denominator.

    Raises ValueError without values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values, no mean")
    mean = fmean(values)
    if n == 1:
        return Interval(mean, None, 1)
    return Interval(mean, t_quantile(n - 1, confidence) * stdev(values) / math.sqrt(n), n)


@lru_cache
def t_quantile(degrees: int, confidence: float) -> float:
    """The t that |T| stays below with this probability, for Student's T of `degrees` >= 1.

    Bisects the closed form of the probability for whole degrees of freedom (Abramowitz and
    Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4). ValueError off its domain.
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
    """P(|T| < t) of Student's T."""
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


def harmonic_mean(base: float, new: float) -> float:
    """Of two percentages; 0 where either is."""
    return 2 * base * new / (base + new) if base and new else 0.0
