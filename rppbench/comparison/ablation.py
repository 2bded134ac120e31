"""What an ablation grid says: each combination against the baseline, and each value by itself.

A function of the grid, which names the cells that belong to it, and of their records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from rppbench.comparison.by_seed import average, by_seed
from rppbench.comparison.compare import NOT_KEPT, Overall, Pair, overall, pair_up
from rppbench.errors import unknown
from rppbench.leaderboard.build import columns_of, row
from rppbench.leaderboard.tables import KINDS, Column, Row, Table
from rppbench.leaderboard.variants import Variant, grouped, setting
from rppbench.records.cell import Pairs
from rppbench.records.grid import Combination, Grid
from rppbench.records.record import Record
from rppbench.stats.bootstrap import Difference, difference
from rppbench.stats.p_values import holm

NOT_RUN = "not run"
"""Why a cell without a record has no number."""


@dataclass(frozen=True)
class Result:
    """A combination and what is known of it."""

    combination: Combination
    row: Row | None
    """None without any record."""
    done: int
    """Cells with a number."""
    gaps: Pairs
    """(data set and seed, why there is no number)"""
    against: Overall | None
    """The baseline first. None for the baseline itself and without anything in common."""
    unpaired: tuple[str, ...]
    """Why data sets or seeds do not enter the difference."""

    @property
    def whole(self) -> bool:
        return self.done == len(self.combination.cells)


@dataclass(frozen=True)
class Effect:
    """A value of one option against the baseline's, on average over the other options' values."""

    factor: str
    level: str
    reference: str
    settings: int
    """Values of the others at which both are complete; the rest does not enter."""
    expected: int
    """Values of the others at which the grid has this value."""
    first: float
    """Mean of the reference over these settings, in percent."""
    second: float
    difference: Difference


@dataclass(frozen=True)
class Ablation:
    """Everything on a report page."""

    grid: Grid
    table: Table
    """One row for each combination with a record."""
    results: tuple[Result, ...]
    effects: tuple[Effect, ...]
    """() where no option is changed in more than one setting of the others."""

    @cached_property
    def corrected(self) -> dict[str, float]:
        """The p of each combination's difference by its label, corrected for their number."""
        found = {r.combination.label: r.against.difference.p for r in self.results if r.against}
        return dict(zip(found, holm(list(found.values())), strict=True))

    @cached_property
    def corrected_effects(self) -> tuple[float, ...]:
        return tuple(holm([effect.difference.p for effect in self.effects]))


def ablation(grid: Grid, records: Iterable[Record]) -> Ablation | None:
    """The report on a grid; None while no cell of it has a record.

    UsageError for a metric that no record has.
    """
    by_key = {record.key: record for record in records}
    variants = [_entrant(combination, by_key) for combination in grid.combinations]
    found = [record for variant in variants if variant for record in variant.records]
    if not found:
        return None
    metric = grid.metric or next((record.metric for record in found if record.metric), "")
    known = {score.metric for record in found for score in record.scores}
    if grid.metric and known and grid.metric not in known:
        raise unknown("score is named", grid.metric, known, "metrics in the records")
    columns = columns_of(found, metric, every=False)
    titles = {column.dataset: column.dataset_title for column in columns}
    results = [
        _result(combination, variant, variants[0], columns, titles)
        for combination, variant in zip(grid.combinations, variants, strict=True)
    ]
    first = found[0]
    shared = set.intersection(*(set(setting(record.cell)) for record in found))  # shots may vary
    table = Table(
        task=first.cell.task.name,
        title=first.labels.get("task") or first.cell.task.name,
        metric=metric,
        setting=tuple(fact for fact in setting(first.cell) if fact in shared),
        columns=tuple(columns),
        rows=tuple(result.row for result in results if result.row),
        devices=tuple(sorted({r.environment.get("device", "") for r in found} - {""})),
        ranking=None,
    )
    complete = {
        result.combination.levels: variant
        for result, variant in zip(results, variants, strict=True)
        if variant and result.whole
    }
    effects = tuple(_effects(grid, complete, columns))
    if all(effect.expected == 1 for effect in effects):
        effects = ()  # each is the difference of one combination, which is there already
    return Ablation(grid, table, tuple(results), effects)


def _entrant(combination: Combination, records: Mapping[str, Record]) -> Variant | None:
    found = [records[place.key] for place in combination.cells if place.key in records]
    return Variant(combination.label, tuple(found)) if found else None


def _result(
    combination: Combination,
    variant: Variant | None,
    baseline: Variant | None,
    columns: Sequence[Column],
    titles: Mapping[str, str],
) -> Result:
    records = {record.key: record for record in variant.records} if variant else {}
    gaps = []
    for place in combination.cells:
        record = records.get(place.key)
        if record is None or record.status != "ok":
            where = f"{titles.get(place.dataset, place.dataset)}, seed {place.seed}"
            gaps.append((where, _why(record)))
    against, unpaired = None, []
    if variant and baseline and variant is not baseline:
        paired = [pair_up(column, baseline, variant) for column in columns]
        against = overall([pair for pair, _ in paired if pair])
        if not any(pair for pair, _ in paired):
            against = _by_seed(columns, baseline, variant)
        of_reason = grouped(
            [
                (reason, column.dataset_title)
                for column, (_, reasons) in zip(columns, paired, strict=True)
                for reason in reasons
                if not (against and against.by_seed and NOT_KEPT in reason)
            ],
            lambda gap: gap[0],
        )
        unpaired = [
            f"{', '.join(title for _, title in gap)} ({why})" for why, gap in of_reason.items()
        ]
    return Result(
        combination,
        row(variant, columns) if variant else None,
        len(combination.cells) - len(gaps),
        tuple(gaps),
        against,
        tuple(unpaired),
    )


def _by_seed(columns: Sequence[Column], baseline: Variant, variant: Variant) -> Overall | None:
    """The difference by seeds alone, where nothing is kept image by image."""
    parts = [found for column in columns if (found := by_seed(column, baseline, variant))]
    mean = average(parts)
    if mean is None or mean.difference is None:
        return None
    first, second = fmean(mean.first), fmean(mean.second)
    return Overall(mean.seeds, first, second, mean.difference, by_seed=True)


def _why(record: Record | None) -> str:
    if record is None:
        return NOT_RUN
    if record.failure is None:
        return "failed"
    kind = KINDS.get(record.failure.kind, f"failed, {record.failure.kind}")
    first = (record.failure.message.splitlines() or [""])[0][:160]
    return f"{kind}: {first}" if first else kind


# --- main effects -------------------------------------------------------------------------------


def _effects(
    grid: Grid, complete: Mapping[Pairs, Variant], columns: Sequence[Column]
) -> Iterable[Effect]:
    """Of every value that is not the baseline's and has a complete partner somewhere.

    A value is compared with the baseline's at equal values of all other options, so a grid with
    holes does not blame one option for another.
    """
    for index, (factor, reference) in enumerate(grid.baseline.levels):
        for level in dict.fromkeys(c.levels[index][1] for c in grid.combinations):
            if level == reference:
                continue
            having = [c for c in grid.combinations if c.levels[index][1] == level]
            matched = []
            for combination in having:
                partner = _changed(combination.levels, index, reference)
                if partner in complete and combination.levels in complete:
                    sides = complete[partner], complete[combination.levels]
                    pairs = [pair_up(column, *sides)[0] for column in columns]
                    whole = [pair for pair in pairs if pair]
                    matched += [whole] if len(whole) == len(columns) else []
            if matched:
                yield Effect(
                    factor,
                    level,
                    reference,
                    len(matched),
                    len(having),
                    _mean([[pair.first for pair in pairs] for pairs in matched]),
                    _mean([[pair.second for pair in pairs] for pairs in matched]),
                    _difference(matched),
                )


def _changed(levels: Pairs, index: int, level: str) -> Pairs:
    return (*levels[:index], (levels[index][0], level), *levels[index + 1 :])


def _difference(matched: Sequence[Sequence[Pair]]) -> Difference:
    """The mean over settings, of the same images under the same seeds: averaged before drawing."""
    if len(matched) == 1:
        only = overall(matched[0])
        assert only is not None, "complete combinations have their seeds in common"
        return only.difference
    return difference(
        [
            np.mean([pair.changes for pair in of_set], axis=0)
            for of_set in zip(*matched, strict=True)
        ]
    )


def _mean(settings: Sequence[Sequence[NDArray[np.int8]]]) -> float:
    return 100 * fmean(float(right.mean()) for columns in settings for right in columns)
