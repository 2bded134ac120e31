"""Means with t-intervals over seeds, and the harmonic mean of base and new accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rppbench.stats.distributions import t_quantile


@dataclass(frozen=True)
class Interval:
    """The mean of `n` values and its confidence interval, mean ± half_width."""

    mean: float
    half_width: float | None
    """None for a single value, which says nothing about its spread."""
    n: int


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean with its t-interval: mean ± t * s / sqrt(n), s with n - 1 in the denominator.

    ValueError if there are no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values: their mean is undefined")
    mean = fmean(values)
    if n == 1:
        return Interval(mean, None, 1)
    return Interval(mean, t_quantile(n - 1, confidence) * stdev(values) / math.sqrt(n), n)


def harmonic_mean(base: float, new: float) -> float:
    """Harmonic mean of two percentages; 0 if either is 0."""
    return 2 * base * new / (base + new) if base and new else 0.0
