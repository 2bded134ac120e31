"""Means and differences of crossed seeds and images, with an interval that covers both.

The values are one array (s, n) for each data set: s seeds, n images, every seed's prompts on the
same images. They are 1 or 0 (right or wrong) for one method, and 1, 0 or -1 for a difference of two
methods: 1 where only the second is right, -1 where only the first is. Images may form groups (the
renders of a drawing, the slides of a patient): these are independent of each other, their images
are not. Data sets may show the same groups (drawings in several styles), and then vary together.
So do data sets that are served by one training: a seed is lucky on all of them. Where each has a
training of its own, a seed is another draw on each.

Nothing is drawn at random. The variance of the mean has two parts:

- of the images, from sums over groups (the cluster-robust variance of a ratio; Cochran, Sampling
  Techniques, 1977, 9A), and
- of the seeds, from the spread between the seeds' means, which contains the interaction of seeds
  and images too; it is therefore taken out of the images' part. Data sets with trainings of their
  own have spreads of their own, which add up, with the degrees of freedom of Satterthwaite (1946).
  Since a little luck is shared all the same, that sum is moderated by the spread of the averages.

The seeds' part is known from few seeds. Two approximations of the distribution of the mean's error
err in opposite directions where both parts matter: Student's t with Satterthwaite's degrees of
freedom covers too little, and the normal error plus an independent t error of the seeds (Behrens
and Fisher) too much. The mean of their p-values is used, and the interval holds the values whose p
is at least 5 %. `tests/support/simulations/interval_coverage.py` simulates how often that holds the
truth. Under two seeds the seeds' part is at least the interaction, as two averages may be equal by
chance; with less than two degrees of freedom the second, wider distribution is used alone. No
p-value is below that of the images with the interaction alone, however alike the seeds are. Under
one seed the interval covers the choice of images only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, expit, ndtr, stdtr

from rppbench.stats.p_values import mcnemar

Values = NDArray[np.int8 | np.float64]
"""(s, n); integers for one method or comparison, fractions for a mean over several."""
UNKNOWN = frozenset({""})
"""Where what was trained on is not known: all parts of that share it."""
SHARED_LUCK = 0.05
"""Correlation of a seed's luck on two data sets that have trainings of their own, as expected.
CoOp's draw of few images takes the same positions in all data sets, and positions may mean
something: `benchmarks/seed_luck.py` measures 0.03 to 0.06."""
PRIOR_DEGREES = 4.0
"""How many degrees of freedom that expectation counts for; the seeds at hand add theirs."""
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
    group_set: str = ""
    """Groups (images, without groups) of one number are the same in all parts with this name; '' if
    they are no other part's."""
    whole_groups: bool = False
    """Whether an imaginary image stands for a group of mean size. A method's own share of right
    images needs that where few are right; paired changes do without."""
    trained_on: frozenset[str] = UNKNOWN
    """Data sets that were trained on. Parts that have one in common share the luck of a seed."""


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
    seed_degrees: float
    """Degrees of freedom of `seeds`: `seed_count` minus 1 if all data sets share a training."""
    seed_count: int
    interaction: float = 0.0
    """The variance by the interaction of seeds and images, which `seeds` contains."""

    def p(self, value: float = 0.0) -> float:
        """Two-sided p-value of the hypothesis that the true mean is `value`."""
        return self._p(abs(self.mean - value))

    def half_width(self, confidence: float = 0.95) -> float:
        """The half width of the interval, which is symmetric about the mean."""
        scale = sqrt(self.images + max(self.seeds, self.interaction))
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
        total, alike = images + seeds, images + self.interaction
        if not max(total, alike):
            return 1.0 if distance == 0 else 0.0
        least = _tails(distance / sqrt(alike), self.image_degrees) if alike else 0.0
        if not seeds:
            return least
        ratios, weights = _seed_variances(self.seed_degrees)
        errors = distance / np.sqrt(images + seeds / ratios)
        if self.image_degrees > 100:
            mixed = 2 * float(ndtr(-errors) @ weights)
        else:
            mixed = 2 * float(stdtr(self.image_degrees, -errors) @ weights)
        if self.seed_degrees < 2:
            return min(1.0, max(least, mixed))
        parts = images**2 / self.image_degrees + seeds**2 / self.seed_degrees
        both = (mixed + _tails(distance / sqrt(total), total**2 / parts)) / 2
        return min(1.0, max(least, both))


def estimate(parts: Sequence[Part]) -> Estimate:
    """The mean over data sets of the mean value, and the variance of its error.

    All parts have the same number of seeds. Those that share a training have the same seeds in the
    same order.
    """
    count, seeds = len(parts), len(parts[0].values)
    by_seed = np.array([part.values.mean(axis=1) for part in parts])  # (count, s)
    families = _families(parts)
    variances, interactions, degrees = zip(*map(_image_variance, families), strict=True)
    images, interaction = sum(variances), sum(interactions)
    degrees_together = (
        images**2 / sum(v**2 / d for v, d in zip(variances, degrees, strict=True))
        if images
        else float(min(degrees))
    )
    between, seed_degrees = _seed_variance([by_seed[at].sum(axis=0) for at in _together(parts)])
    return Estimate(
        float(by_seed.mean()),
        max(0.0, images - interaction) / count**2,
        degrees_together,
        max(between, interaction) / count**2 if seeds == 2 else between / count**2,
        seed_degrees,
        seeds,
        interaction / count**2,
    )


def estimate_over_seeds(by_seed: NDArray[np.float64]) -> Estimate:
    """The mean of one value a seed (s,), where the choice of images cannot be accounted for.

    At least two seeds.
    """
    seeds = len(by_seed)
    variance = float(by_seed.var(ddof=1)) / seeds
    return Estimate(float(by_seed.mean()), 0.0, inf, variance, seeds - 1, seeds)


def difference(parts: Sequence[Part], confidence: float = 0.95) -> Difference:
    """The mean over data sets of the mean change, in percentage points, with interval and p.

    `parts` holds the changes (s, n) of each data set. Exchanging the two methods changes the sign
    of everything but the p-value.
    """
    result = estimate(parts)
    half = result.half_width(confidence)
    mean = result.mean
    return Difference(100 * mean, 100 * (mean - half), 100 * (mean + half), result.p())


def exact_p(parts: Sequence[Part]) -> float | None:
    """McNemar's exact p-value of a change; None unless it is of counted, independent images.

    That is one data set without groups, under a single seed.
    """
    (part, *others) = parts
    if others or part.groups is not None or len(part.values) > 1 or not part.extremes:
        return None
    return mcnemar(int((part.values > 0).sum()), int((part.values < 0).sum()))


def _together(parts: Sequence[Part]) -> list[list[int]]:
    """The numbers of the parts, those together that share what they were trained on."""
    labels = list(range(len(parts)))
    for at, part in enumerate(parts):
        shared = {labels[i] for i in range(at) if part.trained_on & parts[i].trained_on}
        labels = [at if label in shared else label for label in labels]
    return [[i for i, own in enumerate(labels) if own == label] for label in sorted(set(labels))]


def _seed_variance(sums: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Variance by the choice of seeds of the sum of terms, its degrees of freedom.

    Each term (s,) has a value for each seed. Several terms have trainings of their own: what their
    own variances let expect of the sum's (nearly independent: `SHARED_LUCK`) is moderated by the
    variance of the sums as they are (moderated t: Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004).
    """
    seeds = len(sums[0])
    degrees = seeds - 1
    if not degrees:
        return 0.0, 0
    as_they_are = float(np.sum(sums, axis=0).var(ddof=1)) / seeds
    variances = np.array([of_one.var(ddof=1) / seeds for of_one in sums])
    independent = float(variances.sum())
    if len(sums) == 1 or not independent:
        return as_they_are, degrees
    crossed = float(np.sqrt(variances).sum()) ** 2 - independent
    expected = independent + SHARED_LUCK * crossed
    known = PRIOR_DEGREES + degrees
    moderated = (PRIOR_DEGREES * expected + degrees * as_they_are) / known
    # Satterthwaite's. With Welch's (Biometrika 34, 1947) equal methods are separated too often.
    together = degrees * independent**2 / float((variances**2).sum())
    return moderated, max(degrees, min(together, known))


def _families(parts: Sequence[Part]) -> list[list[Part]]:
    """The parts, those together that show the same groups."""
    families: dict[object, list[Part]] = {}
    for at, part in enumerate(parts):
        families.setdefault((part.group_set, _groups(part)) if part.group_set else at, []).append(
            part
        )
    return list(families.values())


def _groups(part: Part) -> int:
    return part.values.shape[1] if part.groups is None else int(part.groups.max()) + 1


def _image_variance(family: Sequence[Part]) -> tuple[float, float, int]:
    """Variance of the sum of the parts' means by their images, the interaction's share of it,
    degrees of freedom."""
    groups, seeds = _groups(family[0]), len(family[0].values)
    finite = groups / (groups - 1) if groups > 1 else 1.0
    deviations = np.zeros(groups)  # of the sum of means, by each group
    residuals = np.zeros((seeds, groups))
    imagined = 0.0  # square root of the variance; imaginary images are the same in all parts
    for part in family:
        values, images = part.values, part.values.shape[1]
        means = values.mean(axis=0)  # (n,)
        mean = means.mean()
        numbers = np.arange(images) if part.groups is None else part.groups
        centred = means - mean
        sums = np.bincount(numbers, centred)
        alone = float((centred**2).sum())
        # How much more a group varies than as many independent images would.
        effect = float((sums**2).sum()) / alone if alone else images / groups
        size = images / groups if part.whole_groups else 1.0
        counted = images * (images + size * len(part.extremes))
        deviations += sums / sqrt(counted)
        spread = sum((extreme - mean) ** 2 for extreme in part.extremes)
        weight = size**2 if part.whole_groups else max(1.0, effect)
        imagined += sqrt(weight * spread / counted)
        if seeds > 1:
            residual = values - means - values.mean(axis=1, keepdims=True) + mean
            residuals += [np.bincount(numbers, row) / images for row in residual]
    variance = finite * (float((deviations**2).sum()) + imagined**2)
    interaction = 0.0
    if seeds > 1:
        interaction = finite * float((residuals**2).sum()) / ((seeds - 1) * seeds)
    return variance, interaction, max(1, groups - 1)


def _tails(t: float, degrees: float) -> float:
    return 2 * float(stdtr(degrees, -abs(t)))


@lru_cache
def _seed_variances(degrees: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values (NODES,) of a chi-square variable over its degrees of freedom, and their weights."""
    tails = expit(np.linspace(-25, 25, NODES))  # dense at both ends, where small p-values come from
    weights = tails * (1 - tails)
    return chdtri(degrees, tails) / degrees, weights / weights.sum()
