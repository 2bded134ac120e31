"""A search of settings: the accuracy of each combination on validation images, and the best one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rppbench.records.grid import Combination, Grid
from rppbench.records.record import Record


@dataclass(frozen=True)
class Trial:
    """A combination of values, and its primary metric on validation images."""

    combination: Combination
    values: tuple[float, ...]
    """The metric of each cell that succeeded, in percent."""
    images: int
    """Validation images of these cells, counted once for each seed."""

    @property
    def is_complete(self) -> bool:
        """Whether every cell succeeded; only then the mean can be compared."""
        return len(self.values) == len(self.combination.cells)

    @property
    def mean(self) -> float | None:
        """Mean over data sets and seeds; None unless complete."""
        return fmean(self.values) if self.is_complete else None


def trials(grid: Grid, records: Iterable[Record]) -> list[Trial]:
    """A trial for each combination of a grid, in its order."""
    by_key = {record.key: record for record in records}
    return [
        _trial(one, [by_key[place.key] for place in one.cells if place.key in by_key])
        for one in grid.combinations
    ]


def best_so_far(tried: Sequence[Trial]) -> list[Trial | None]:
    """After each trial the one with the highest mean until then; of equals the first."""
    best: Trial | None = None
    result = []
    for trial in tried:
        if trial.mean is not None and (best is None or trial.mean > (best.mean or 0.0)):
            best = trial
        result.append(best)
    return result


def _trial(combination: Combination, records: Sequence[Record]) -> Trial:
    scores = [score for record in records if (score := record.score()) is not None]
    return Trial(
        combination,
        tuple(score.value for score in scores),
        sum(score.total or 0 for score in scores),
    )
