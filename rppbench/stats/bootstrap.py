"""How sure a difference between two methods is, from what each got right on the same images.

b - a is held as one array a data set, (s, n) for s seeds and n images: 1 where only b is right, -1
where only a is, else 0. Seeds and images are crossed: each seed's prompts see the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Changes = NDArray[np.int8 | np.float64]
"""Whole for one comparison; a mean over several has parts of one."""
DRAWS = 20_000


@dataclass(frozen=True)
class Difference:
    """A mean difference in percentage points, and how far the truth may be from it."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided, of no difference."""


def difference(parts: Sequence[Changes], confidence: float = 0.95) -> Difference:
    """The mean over data sets (same seeds in each) of the mean change, by a paired bootstrap.

    Every draw is a mean over resampled images plus, with several seeds, an error of the seeds'
    mean. That error is drawn from Student's t: resampling three seeds gives intervals that miss
    the truth three times as often as they say. The noise of single images under single seeds is
    already in it, so the images' part is narrowed by as much. With one seed the interval is about
    images alone.
    """
    random = np.random.default_rng(0)  # the same records give the same interval
    seeds = len(parts[0])
    draws = np.mean([_image_draws(changes, random) for changes in parts], axis=0)
    by_seed = np.mean([changes.mean(axis=1) for changes in parts], axis=0)  # (s,)
    if seeds > 1:
        draws += random.standard_t(seeds - 1, DRAWS) * by_seed.std(ddof=1) / sqrt(seeds)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * float(beyond + 1) / (DRAWS + 1))
    return Difference(100 * float(by_seed.mean()), 100 * float(low), 100 * float(high), p)


def _image_draws(changes: Changes, random: np.random.Generator) -> NDArray[np.float64]:
    """(DRAWS,) means over images drawn with replacement."""
    seeds, images = changes.shape
    means = changes.mean(axis=0)  # (n,)
    # One more image that only a gets right and one that only b does: or few changes would look
    # certain (Bonett and Price, Adjusted Wald intervals for paired proportions, 2012).
    values, counts = np.unique(np.append(means, [-1.0, 1.0]), return_counts=True)
    # Drawing images with replacement is drawing how often each value comes up.
    drawn = random.multinomial(images, counts / (images + 2), DRAWS) @ values / images
    spread = means.var(ddof=1) if images > 1 else 0.0
    if seeds > 1 and spread > 0:
        rest = changes - means - changes.mean(axis=1, keepdims=True) + means.mean()
        shared = (rest**2).sum() / ((seeds - 1) * (images - 1)) / seeds
        drawn = drawn.mean() + sqrt(max(0.0, 1 - shared / spread)) * (drawn - drawn.mean())
    return np.asarray(drawn, dtype=np.float64)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p of McNemar's test: whether changes go both ways alike."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def holm(values: Sequence[float]) -> list[float]:
    """The p-values, raised so that all claims below a level hold together (Holm, 1979)."""
    raised = [0.0] * len(values)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        raised[index] = least
    return raised
