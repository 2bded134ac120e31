"""Means and differences of crossed seeds and images, with an interval that covers both.

The values are one array (s, n) for each data set: s seeds, n images, every seed's prompts on the
same images. They are 1 or 0 (right or wrong) for one method, and 1, 0 or -1 for a difference of two
methods: 1 where only the second is right, -1 where only the first is. Images may form groups (the
renders of a drawing, the slides of a patient): these are independent of each other, their images
are not.

Nothing is drawn at random. The variance of the mean has two parts:

- of the images, from sums over groups (the cluster-robust variance of a ratio; Cochran, Sampling
  Techniques, 1977, 9A), and
- of the seeds, from the spread between the seeds' means, which contains the interaction of seeds
  and images too; it is therefore taken out of the images' part.

The seeds' part is known from few seeds. Two approximations of the distribution of the mean's error
err in opposite directions where both parts matter: Student's t with the degrees of freedom of
Satterthwaite (1946) covers too little, and the normal error plus an independent t error of the
seeds (Behrens and Fisher) too much. The mean of their p-values is used, and the interval holds the
values whose p is at least 5 %. `tests/support/simulations/interval_coverage.py` simulates how often
that holds the truth. Under two seeds the second, wider one is used alone. Under one seed the
interval covers the choice of images only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, expit, ndtr, stdtr

Values = NDArray[np.int8 | np.float64]
"""(s, n); integers for one method or comparison, fractions for a mean over several."""
NODES = 300
"""Points at which the distribution of the seeds' variance is evaluated."""


@dataclass(frozen=True)
class Part:
    """The values of one data set."""

    values: Values
    """(s, n)"""
    groups: NDArray[np.int64] | None = None
    """(n,) the number of each image's group, from 0; None if every image is on its own."""
    extremes: tuple[float, ...] = (-1.0, 1.0)
    """Values of imaginary images that count for the spread alone: without them, few changes would
    look certain (Bonett and Price, Adjusted Wald intervals for paired proportions, 2012)."""


@dataclass(frozen=True)
class Difference:
    """A mean difference with its confidence interval, in percentage points."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided p-value of no difference, in 0..1."""


@dataclass(frozen=True)
class Estimate:
    """A mean and the variance of its error."""

    mean: float
    images: float
    """The images' part of the variance, without the interaction with seeds."""
    image_degrees: float
    """Degrees of freedom of `images`: about the number of groups."""
    seeds: float
    """The variance of the mean over seeds; 0 with a single seed."""
    seed_degrees: int
    """Number of seeds minus 1."""

    def p(self, value: float = 0.0) -> float:
        """Two-sided p-value of the hypothesis that the true mean is `value`."""
        return self._p(abs(self.mean - value))

    def half_width(self, confidence: float = 0.95) -> float:
        """The half width of the interval, which is symmetric about the mean."""
        scale = sqrt(self.images + self.seeds)
        if not scale:
            return 0.0
        # The logarithm of p falls smoothly from 0: bracketed, then false position (Illinois).
        wanted = log(1 - confidence)
        low, above = 0.0, -wanted
        high = 2 * scale
        while (below := self._log_p(high) - wanted) > 0:
            low, above, high = high, below, 2 * high
        middle, side = high, 0
        for _ in range(60):
            previous, middle = middle, (low * below - high * above) / (below - above)
            value = self._log_p(middle) - wanted
            if abs(middle - previous) <= 1e-10 * middle:
                break
            if value > 0:
                low, above, below = middle, value, below / 2 if side == 1 else below
                side = 1
            else:
                high, below, above = middle, value, above / 2 if side == -1 else above
                side = -1
        return middle

    def _log_p(self, distance: float) -> float:
        return log(max(self._p(distance), 1e-300))

    def _p(self, distance: float) -> float:
        images, seeds = self.images, self.seeds
        total = images + seeds
        if not total:
            return 1.0 if distance == 0 else 0.0
        if not seeds:
            return _tails(distance / sqrt(total), self.image_degrees)
        ratios, weights = _seed_variances(self.seed_degrees)
        errors = distance / np.sqrt(images + seeds / ratios)
        if self.image_degrees > 100:
            mixed = 2 * float(ndtr(-errors) @ weights)
        else:
            mixed = 2 * float(stdtr(self.image_degrees, -errors) @ weights)
        if self.seed_degrees == 1:
            return min(1.0, mixed)
        parts = images**2 / self.image_degrees + seeds**2 / self.seed_degrees
        return min(1.0, (mixed + _tails(distance / sqrt(total), total**2 / parts)) / 2)


def estimate(parts: Sequence[Part]) -> Estimate:
    """The mean over data sets of the mean value, and the variance of its error.

    All parts have the same seeds. A seed that is lucky may be so on all sets (they may share a
    training), so the seeds' part comes from the seeds' averages over the sets.
    """
    count = len(parts)
    by_seed = np.mean([part.values.mean(axis=1) for part in parts], axis=0)  # (s,)
    seeds = len(by_seed)
    variances, interactions, degrees = zip(*map(_image_variance, parts), strict=True)
    images = sum(variances)
    degrees_together = (
        images**2 / sum(v**2 / d for v, d in zip(variances, degrees, strict=True))
        if images
        else float(min(degrees))
    )
    return Estimate(
        float(by_seed.mean()),
        max(0.0, images - sum(interactions)) / count**2,
        degrees_together,
        float(by_seed.var(ddof=1)) / seeds if seeds > 1 else 0.0,
        seeds - 1,
    )


def estimate_over_seeds(by_seed: NDArray[np.float64]) -> Estimate:
    """The mean of one value a seed (s,), where the choice of images cannot be accounted for.

    At least two seeds.
    """
    seeds = len(by_seed)
    return Estimate(float(by_seed.mean()), 0.0, inf, float(by_seed.var(ddof=1)) / seeds, seeds - 1)


def difference(parts: Sequence[Part], confidence: float = 0.95) -> Difference:
    """The mean over data sets of the mean change, in percentage points, with interval and p.

    `parts` holds the changes (s, n) of each data set. Exchanging the two methods changes the sign
    of everything but the p-value.
    """
    result = estimate(parts)
    half = result.half_width(confidence)
    mean = result.mean
    return Difference(100 * mean, 100 * (mean - half), 100 * (mean + half), result.p())


def _image_variance(part: Part) -> tuple[float, float, int]:
    """Variance of the mean by its images, the interaction's share of it, degrees of freedom."""
    values = part.values
    seeds, images = values.shape
    means = values.mean(axis=0)  # (n,)
    mean = means.mean()
    numbers = np.arange(images) if part.groups is None else part.groups
    groups = int(numbers.max()) + 1
    centred = means - mean
    squares = float((np.bincount(numbers, centred) ** 2).sum())
    alone = float((centred**2).sum())
    # How much more a group varies than as many independent images would.
    effect = squares / alone if alone else images / groups
    squares += max(1.0, effect) * sum((extreme - mean) ** 2 for extreme in part.extremes)
    finite = groups / (groups - 1) if groups > 1 else 1.0
    variance = finite * squares / (images * (images + len(part.extremes)))
    interaction = 0.0
    if seeds > 1:
        residual = values - means - values.mean(axis=1, keepdims=True) + mean
        sums = sum(float((np.bincount(numbers, row) ** 2).sum()) for row in residual)
        interaction = finite * sums / ((seeds - 1) * seeds * images**2)
    return variance, interaction, max(1, groups - 1)


def _tails(t: float, degrees: float) -> float:
    return 2 * float(stdtr(degrees, -abs(t)))


@lru_cache
def _seed_variances(degrees: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values (NODES,) of a chi-square variable over its degrees of freedom, and their weights."""
    tails = expit(np.linspace(-25, 25, NODES))  # dense at both ends, where small p-values come from
    weights = tails * (1 - tails)
    return chdtri(degrees, tails) / degrees, weights / weights.sum()
