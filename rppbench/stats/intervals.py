"""Means with intervals over seeds.

No scipy here: importing its distributions takes longer than printing a leaderboard may.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rppbench.stats.distributions import t_quantile


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


def harmonic_mean(base: float, new: float) -> float:
    """Of two percentages; 0 where either is."""
    return 2 * base * new / (base + new) if base and new else 0.0
