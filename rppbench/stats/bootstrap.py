"""Paired bootstrap: the difference between two methods that are scored on the same images.

The changes from method a to method b are one array (s, n) for each data set, with s seeds and n
images: 1 where only b is right, -1 where only a is right, 0 otherwise. Seeds and images are
crossed: each seed's prompts see the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Changes = NDArray[np.int8 | np.float64]
"""(s, n); integers for one comparison, fractions for a mean over several."""
DRAWS = 20_000
"""Bootstrap samples."""


@dataclass(frozen=True)
class Difference:
    """A mean difference with its confidence interval, in percentage points."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided p-value of no difference, in 0..1."""


def difference(parts: Sequence[Changes], confidence: float = 0.95) -> Difference:
    """The mean over data sets of the mean change, with an interval by a paired bootstrap.

    `parts` holds the changes (s, n) of each data set, all with the same seeds. Every draw is a
    mean over resampled images plus, with several seeds, an error of the seeds' mean. That error is
    drawn from Student's t: resampling three seeds gives intervals that miss the truth three times
    as often as they should. The interaction of images and seeds is already in it, so the variance
    of the images' part is reduced by that amount. With one seed the interval covers the choice of
    images only.
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
    """(DRAWS,) means of changes (s, n) over images drawn with replacement."""
    seeds, images = changes.shape
    means = changes.mean(axis=0)  # (n,)
    # One extra image that only a gets right and one that only b gets right: without them, a result
    # with few changes would look certain (Bonett and Price, Adjusted Wald intervals for paired
    # proportions, 2012).
    values, counts = np.unique(np.append(means, [-1.0, 1.0]), return_counts=True)
    # Drawing images with replacement is drawing how often each value occurs.
    drawn = random.multinomial(images, counts / (images + 2), DRAWS) @ values / images
    spread = means.var(ddof=1) if images > 1 else 0.0
    if seeds > 1 and spread > 0:
        # The part that neither image nor seed explains; the seeds' part contains its variance too.
        residual = changes - means - changes.mean(axis=1, keepdims=True) + means.mean()
        shared = (residual**2).sum() / ((seeds - 1) * (images - 1)) / seeds
        drawn = drawn.mean() + sqrt(max(0.0, 1 - shared / spread)) * (drawn - drawn.mean())
    return np.asarray(drawn, dtype=np.float64)
