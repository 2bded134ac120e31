"""Average ranks over data sets, and which of them the data sets cannot tell apart.

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

LEAST_SETS = 5
LEAST_ROWS = 3
"""Two rows are for `rppbench compare`, which looks at images."""
MOST_ROWS = len(ascii_letters)
LEVEL = 0.05


@dataclass(frozen=True)
class Rank:
    """Of one row."""

    mean: float
    """1 is best."""
    groups: str
    """Rows that share a letter cannot be told apart."""


@dataclass(frozen=True)
class Ranking:
    """What the ranks of a table rest on."""

    datasets: int
    critical: float
    """Difference of mean ranks that is significant, for all pairs of rows together."""
    p: float
    """Friedman's, that all rows are equally good."""


def rank(values: Sequence[Sequence[float]]) -> tuple[Ranking, list[Rank]] | None:
    """Ranks of rows by values (rows, data sets) that are better when higher; ties share theirs.

    None where data sets or rows are too few for an answer, or rows too many for the letters.
    """
    rows, sets = len(values), len(values[0]) if values else 0
    if not LEAST_ROWS <= rows <= MOST_ROWS or sets < LEAST_SETS:
        return None
    columns = list(zip(*values, strict=True))
    ranks = [[_rank(value, column) for value in column] for column in columns]  # (sets, rows)
    means = [sum(of_row) / sets for of_row in zip(*ranks, strict=True)]
    p = _friedman(means, columns)
    critical = range_quantile(rows, 1 - LEVEL) * math.sqrt(rows * (rows + 1) / (12 * sets))
    width = critical if p < LEVEL else math.inf
    groups = _letters(means, width)
    found = [Rank(mean, letters) for mean, letters in zip(means, groups, strict=True)]
    return Ranking(sets, critical, p), found


def _rank(value: float, column: Sequence[float]) -> float:
    better = sum(other > value for other in column)
    return better + (column.count(value) + 1) / 2


def _friedman(means: Sequence[float], columns: Sequence[Sequence[float]]) -> float:
    """P of ranks as different as these if all rows were alike; corrected for ties."""
    sets, rows = len(columns), len(means)
    tied = sum(column.count(v) ** 3 - column.count(v) for column in columns for v in set(column))
    varied = 1 - tied / (sets * rows * (rows**2 - 1))
    if varied == 0:  # every data set gives all rows the same number
        return 1.0
    spread = sum((mean - (rows + 1) / 2) ** 2 for mean in means)
    return chi_square_tail(rows - 1, 12 * sets * spread / (rows * (rows + 1)) / varied)


def _letters(means: Sequence[float], critical: float) -> list[str]:
    """The letters of the largest groups whose means differ by less than `critical`."""
    order = sorted(means)
    # The last row of the group that starts at each; a group within the one before is not new.
    ends = [max(j for j, mean in enumerate(order) if mean - low < critical) for low in order]
    new = [True, *(end > before for before, end in pairwise(ends))]
    groups = [(order[i], order[ends[i]]) for i in range(len(order)) if new[i]]
    return [
        "".join(
            ascii_letters[index] for index, (low, high) in enumerate(groups) if low <= mean <= high
        )
        for mean in means
    ]
