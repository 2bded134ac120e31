"""A search of settings: the accuracy of each combination on validation images, and the best one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rppbench.comparison.by_image import overall, pair_outcomes
from rppbench.data.draws import FULL
from rppbench.leaderboard.rows import columns_of
from rppbench.leaderboard.variants import Variant
from rppbench.records.grid import Combination, Grid
from rppbench.records.record import Record
from rppbench.stats.two_level import Difference


@dataclass(frozen=True)
class Trial:
    """A combination of values, and its primary metric on validation images."""

    combination: Combination
    values: tuple[float, ...]
    """The metric of each cell that succeeded, in percent."""
    images: int
    """Validation images of these cells, counted once for each seed."""
    records: tuple[Record, ...] = ()
    """Of these cells."""

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


def against(best: Trial, trial: Trial) -> Difference | None:
    """How much higher a trial is than the best one, paired over images and seeds.

    None if one is not complete, or if seeds were scored on images of their own (CoOp's draw).
    """
    if not (best.is_complete and trial.is_complete):
        return None
    cells = [record.cell for record in best.records]
    if len({cell.seed for cell in cells}) > 1 and dict(cells[0].task.options)["images"] != FULL:
        return None
    sides = [Variant(one.combination.label, one.records) for one in (best, trial)]
    columns = columns_of(best.records, best.records[0].metric, every=False)
    pairs = [pair_outcomes(column, *sides) for column in columns]
    result = overall([pair for pair, _ in pairs if pair])
    return result.difference if result else None


def _trial(combination: Combination, records: Sequence[Record]) -> Trial:
    scored = [(record, score) for record in records if (score := record.score()) is not None]
    return Trial(
        combination,
        tuple(score.value for _, score in scored),
        sum(score.total or 0 for _, score in scored),
        tuple(record for record, _ in scored),
    )
