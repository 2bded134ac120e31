"""Mean ranks of methods over data sets, and letters for those that tests do not separate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from string import ascii_letters

MIN_DATASETS = 3
"""With fewer, the columns say it all."""
MIN_ROWS = 3
"""For two rows there is `rppbench compare`."""
LEVEL = 0.05
"""Significance level of all tests."""
MOST_GROUPS = 1000
"""More groups than any reader follows: letters are then left out."""


@dataclass(frozen=True)
class Rank:
    """The mean rank of one row (a method)."""

    mean: float
    """1 is best."""
    groups: str
    """Letters; rows that share one are not separated. '' if there are too many groups."""


@dataclass(frozen=True)
class Ranking:
    """The tests behind the letters of a table."""

    datasets: int
    """Number of data sets."""
    pairs: int
    """Number of pairs of complete rows."""
    tested: int
    """Number of pairs that could be tested; the others count as not separated."""
    separated: int
    """Number of pairs whose averages differ (corrected p < 0.05)."""
    one_seed: int = 0
    """Number of tested pairs with a single common seed: of the choice of images alone."""


def mean_ranks(values: Sequence[Sequence[float]]) -> list[float]:
    """Mean rank of each row over the data sets, by `values` (rows, data sets), highest first.

    Equal values share the mean of their ranks.
    """
    columns = list(zip(*values, strict=True))
    by_set = [[_rank(value, column) for value in column] for column in columns]  # (sets, rows)
    return [sum(row) / len(columns) for row in zip(*by_set, strict=True)]


def _rank(value: float, column: Sequence[float]) -> float:
    better = sum(other > value for other in column)
    return better + (column.count(value) + 1) / 2


def letters(rows: int, separated: Collection[tuple[int, int]]) -> list[str]:
    """The letters of `rows` rows, best first: two rows share one if and only if their pair is not
    `separated`.

    Insert and absorb (Piepho, An Algorithm for a Letter-Based Representation of All-Pairwise
    Comparisons, 2004). '' for every row if there are more than `MOST_GROUPS` groups.
    """
    groups = [frozenset(range(rows))]
    for pair in sorted(tuple(sorted(pair)) for pair in separated):
        split: list[frozenset[int]] = []
        for group in groups:
            both = set(pair) <= group
            split += [group - {row} for row in pair] if both else [group]
        distinct = set(split)
        groups = [group for group in distinct if not any(group < other for other in distinct)]
        if len(groups) > MOST_GROUPS:
            return [""] * rows
    groups.sort(key=lambda group: (sorted(group), len(group)))
    names = [_name(index) for index in range(len(groups))]
    return [
        "".join(name for name, group in zip(names, groups, strict=True) if row in group)
        for row in range(rows)
    ]


def split_letters(text: str) -> list[str]:
    """The single groups of a row's letters: 'ab1c' is a, b1 and c."""
    parts: list[str] = []
    for character in text:
        if character.isdecimal():
            parts[-1] += character
        else:
            parts.append(character)
    return parts


def _name(index: int) -> str:
    """a to z, A to Z, a1 to Z1, ..."""
    round_, place = divmod(index, len(ascii_letters))
    return ascii_letters[place] + (str(round_) if round_ else "")
