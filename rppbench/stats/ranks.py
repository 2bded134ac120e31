"""Average ranks of methods over data sets, and groups of methods that do not differ significantly.

Friedman's test and Nemenyi's critical difference, as in Demšar, Statistical Comparisons of
Classifiers over Multiple Data Sets, JMLR 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_letters

from rppbench.stats.distributions import chi_square_tail, range_quantile

MIN_DATASETS = 5
"""With fewer, no ranks are given."""
MIN_ROWS = 3
"""For two rows there is `rppbench compare`, which compares image by image."""
MAX_ROWS = len(ascii_letters)
"""Each group of rows needs a letter of its own."""
LEVEL = 0.05
"""Significance level of both tests."""


@dataclass(frozen=True)
class Rank:
    """The average rank of one row (a method)."""

    mean: float
    """1 is best."""
    groups: str
    """Letters; rows that share a letter do not differ significantly."""


@dataclass(frozen=True)
class Ranking:
    """The tests behind the ranks of a table."""

    datasets: int
    """Number of data sets."""
    critical: float
    """Nemenyi's critical difference of mean ranks, for all pairs of rows together."""
    p: float
    """P-value of Friedman's test, whose null hypothesis is that all rows are equally good."""


def rank(values: Sequence[Sequence[float]]) -> tuple[Ranking, list[Rank]] | None:
    """Ranks of rows by their values (rows, data sets), the highest first; ties share a mean rank.

    None if there are too few data sets or rows for a test, or more rows than letters.
    """
    rows, sets = len(values), len(values[0]) if values else 0
    if not MIN_ROWS <= rows <= MAX_ROWS or sets < MIN_DATASETS:
        return None
    columns = list(zip(*values, strict=True))
    by_set = [[_rank(value, column) for value in column] for column in columns]  # (sets, rows)
    means = [sum(row) / sets for row in zip(*by_set, strict=True)]
    p = _friedman(means, columns)
    critical = range_quantile(rows, 1 - LEVEL) * math.sqrt(rows * (rows + 1) / (12 * sets))
    width = critical if p < LEVEL else math.inf
    groups = _letters(means, width)
    ranks = [Rank(mean, letters) for mean, letters in zip(means, groups, strict=True)]
    return Ranking(sets, critical, p), ranks


def _rank(value: float, column: Sequence[float]) -> float:
    """Rank of a value among all of its data set; equal values share the mean of their ranks."""
    better = sum(other > value for other in column)
    return better + (column.count(value) + 1) / 2


def _friedman(means: Sequence[float], columns: Sequence[Sequence[float]]) -> float:
    """P-value of Friedman's test (null: all rows are equally good), corrected for ties."""
    sets, rows = len(columns), len(means)
    tied = sum(column.count(v) ** 3 - column.count(v) for column in columns for v in set(column))
    varied = 1 - tied / (sets * rows * (rows**2 - 1))
    if varied == 0:  # every data set gives all rows the same number
        return 1.0
    spread = sum((mean - (rows + 1) / 2) ** 2 for mean in means)
    return chi_square_tail(rows - 1, 12 * sets * spread / (rows * (rows + 1)) / varied)


def _letters(means: Sequence[float], critical: float) -> list[str]:
    """The letters of each row, one for each maximal group of means less than `critical` apart."""
    order = sorted(means)
    # For each row the last row of the group that starts there. A group inside its predecessor is
    # not new.
    ends = [max(j for j, mean in enumerate(order) if mean - low < critical) for low in order]
    new = [True, *(end > before for before, end in pairwise(ends))]
    groups = [(order[i], order[ends[i]]) for i in range(len(order)) if new[i]]
    return [
        "".join(
            ascii_letters[index] for index, (low, high) in enumerate(groups) if low <= mean <= high
        )
        for mean in means
    ]
