"""Differences of the rows of a table, pair by pair: for the heat map, and to compare two.

They take long for many rows, so the script file that holds them is read back if it is of the same
records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from rppbench.comparison.compare import Comparison, between
from rppbench.leaderboard.build import TableWithVariants
from rppbench.leaderboard.kept import kept_digits, records_digest
from rppbench.leaderboard.tables import Column, Table
from rppbench.reporting.site.html import read_script_file, script_file

MOST_PAIRS = 150
"""Number of pairs of a table that are computed; others have their averages alone."""
Numbers = list[float] | None
"""Difference, low and high end of its interval, p, images lost and won; the first alone where
nothing says how certain it is; without counts where single images are not right or wrong. None
without a difference."""


@dataclass(frozen=True)
class Pairs:
    """Differences of pairs of rows, second minus first, in the unit of the metric."""

    name: str
    """Name of the script file, without suffix."""
    digest: str
    """Of the records that they are computed from."""
    of: Mapping[str, list[Numbers]]
    """By 'i-j', the places of the rows in the table: the average (p for itself alone), then each
    column (p corrected for the columns)."""

    def columns(self, first: int, second: int) -> list[Numbers]:
        """The difference in each column; [] where the pair was not computed in this direction."""
        return self.of.get(f"{first}-{second}", [None])[1:]

    @property
    def script(self) -> str:
        """The text of the script file."""
        return script_file(self.name, {"digest": self.digest, "of": self.of})


def pairs(built: TableWithVariants, name: str, folder: Path) -> Pairs:
    """The differences of a table's rows: those of its script file in the folder, or computed."""
    table = built.table
    variants = {variant.label: variant for variant in built.variants}
    labels = [row.label for row in table.rows]
    records = [record for variant in built.variants for record in variant.records]
    digest = records_digest([*labels, table.reference, str(MOST_PAIRS)], table.columns, records)
    kept = _kept(folder / f"{name}.js", name, digest)
    if kept is not None:
        return Pairs(name, digest, kept)
    return Pairs(
        name,
        digest,
        {
            f"{i}-{j}": _numbers(table, between(table, variants[labels[i]], variants[labels[j]]))
            for i, j in _chosen(table)
        },
    )


def _kept(path: Path, name: str, digest: str) -> dict[str, list[Numbers]] | None:
    try:
        data = read_script_file(name, path.read_text("utf-8"))
        return data["of"] if data["digest"] == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _chosen(table: Table) -> Iterator[tuple[int, int]]:
    """Places of the pairs to compute: the reference first, then the best rows among each other."""
    places = [i for i, row in enumerate(table.rows) if row.headline.mean is not None]
    reference = next((i for i in places if table.rows[i].label == table.reference), None)
    others = [i for i in places if i != reference]
    if reference is not None:
        yield from ((reference, other) for other in others)
    left = MOST_PAIRS - (len(others) if reference is not None else 0)
    best = len(others)
    while best * (best - 1) // 2 > max(0, left):
        best -= 1
    yield from combinations(others[:best], 2)


def _numbers(table: Table, comparison: Comparison) -> list[Numbers]:
    """The average of a comparison, then its columns."""
    of: dict[Column, Numbers] = {}
    average: Numbers = None
    for pair, p in zip(comparison.pairs, comparison.corrected, strict=True):
        d = pair.difference
        counts = [pair.lost, pair.gained] if pair.counted else []
        of[pair.column] = _kept_digits([d.mean, d.low, d.high, p, *counts])
    if overall := comparison.overall:
        d = overall.difference
        average = _kept_digits([d.mean, d.low, d.high, d.p])
    by_seed = zip(comparison.by_seed, comparison.corrected_by_seed, strict=True)
    for (column, scores), corrected in by_seed:
        of[column] = _of_seeds(scores.first, scores.second)
        if (seeds := scores.difference) and corrected is not None:
            of[column] = _kept_digits([seeds.mean, seeds.low, seeds.high, corrected])
    if mean := comparison.average_by_seed:
        average = _of_seeds(mean.first, mean.second)
        if d_mean := mean.difference:
            average = _kept_digits([d_mean.mean, d_mean.low, d_mean.high, d_mean.p])
    return [average, *(of.get(column) for column in table.columns)]


def _of_seeds(first: Sequence[float], second: Sequence[float]) -> Numbers:
    """The difference of two means, without an interval."""
    return _kept_digits([(sum(second) - sum(first)) / len(first)])


def _kept_digits(values: Sequence[float]) -> list[float]:
    return [kept_digits(value) for value in values]
