"""Results of an ablation grid: combinations against the baseline, and main effects of options.

They are computed from a grid, which lists its cells, and the records of these cells. P-values are
those of `by_image` and `by_seed`, corrected for the number of combinations or effects (Holm).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

import numpy as np

from rppbench.comparison.by_image import Overall, PairedOutcomes, overall, pair_outcomes
from rppbench.comparison.by_seed import average_scores, pair_scores
from rppbench.errors import unknown
from rppbench.leaderboard.comparability import setting
from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.number_format import FAILURE_TEXTS, on_one_line
from rppbench.leaderboard.outcomes import NOT_KEPT
from rppbench.leaderboard.rows import columns_of, row, with_averages
from rppbench.leaderboard.tables import Column, Row, Table
from rppbench.leaderboard.variants import Variant
from rppbench.records.cell import Pairs
from rppbench.records.grid import Combination, Grid
from rppbench.records.record import Record
from rppbench.stats.p_values import holm
from rppbench.stats.two_level import Difference, Values, difference

NOT_RUN = "not run"
"""Why a cell without a record has no number."""


@dataclass(frozen=True)
class Result:
    """A combination of option values, its numbers, and its difference from the baseline."""

    combination: Combination
    row: Row | None
    """None if the combination has no record."""
    done: int
    """Number of cells that succeeded."""
    gaps: Pairs
    """(data set and seed, reason) of each cell that has no number."""
    against: Overall | None
    """The combination against the baseline; None for the baseline, or if nothing can be paired."""
    unpaired: tuple[str, ...]
    """Data sets and seeds that the difference leaves out, with the reason."""

    @property
    def is_complete(self) -> bool:
        """Whether every cell of the combination succeeded."""
        return self.done == len(self.combination.cells)


@dataclass(frozen=True)
class Effect:
    """Main effect: an option's value against the baseline's, on average over the other options."""

    factor: str
    """Name of the option."""
    level: str
    """Its value."""
    reference: str
    """The baseline's value."""
    settings: int
    """Number of settings of the other options at which both are complete; only these count."""
    expected: int
    """Number of settings of the other options at which the grid has the value."""
    first: float
    """Mean of the reference over the settings that count, in percent."""
    second: float
    """Mean of the value over the same settings, in percent."""
    difference: Difference


@dataclass(frozen=True)
class Ablation:
    """Results of an ablation grid, as its report shows them."""

    grid: Grid
    table: Table
    """One row for each combination with a record."""
    results: tuple[Result, ...]
    """One for each combination of the grid; the baseline is the first."""
    effects: tuple[Effect, ...]
    """() unless an option is changed in more than one setting of the others."""

    @cached_property
    def corrected(self) -> dict[str, float]:
        """The p-value of each combination, by its label, corrected for their number (Holm)."""
        raw = {r.combination.label: r.against.difference.p for r in self.results if r.against}
        return dict(zip(raw, holm(list(raw.values())), strict=True))

    @cached_property
    def corrected_effects(self) -> tuple[float, ...]:
        """The p-value of each effect, corrected for their number (Holm)."""
        return tuple(holm([effect.difference.p for effect in self.effects]))


def ablation(grid: Grid, records: Iterable[Record]) -> Ablation | None:
    """The results of a grid; None while none of its cells has a record.

    Raises UsageError if no record has the grid's metric.
    """
    by_key = {record.key: record for record in records}
    variants = [_variant(combination, by_key) for combination in grid.combinations]
    measured = [record for variant in variants if variant for record in variant.records]
    if not measured:
        return None
    metric = grid.metric or next((record.metric for record in measured if record.metric), "")
    metrics = {score.metric for record in measured for score in record.scores}
    if grid.metric and metrics and grid.metric not in metrics:
        raise unknown("score is named", grid.metric, metrics, "metrics in the records")
    columns = columns_of(measured, metric, every=False)
    titles = {column.dataset: column.dataset_title for column in columns}
    results = [
        _result(combination, variant, variants[0], columns, titles)
        for combination, variant in zip(grid.combinations, variants, strict=True)
    ]
    rows = iter(with_averages([result.row for result in results if result.row], columns))
    results = [replace(result, row=result.row and next(rows)) for result in results]
    first = measured[0]
    shared = set.intersection(*(set(setting(record.cell)) for record in measured))  # shots may vary
    table = Table(
        task=first.cell.task.name,
        title=first.labels.get("task") or first.cell.task.name,
        metric=metric,
        setting=tuple(pair for pair in setting(first.cell) if pair in shared),
        columns=tuple(columns),
        rows=tuple(result.row for result in results if result.row),
        devices=tuple(sorted({r.environment.get("device", "") for r in measured} - {""})),
        ranking=None,
    )
    complete = {
        result.combination.levels: variant
        for result, variant in zip(results, variants, strict=True)
        if variant and result.is_complete
    }
    effects = tuple(_effects(grid, complete, columns))
    if all(effect.expected == 1 for effect in effects):
        effects = ()  # each would repeat the difference of one combination
    return Ablation(grid, table, tuple(results), effects)


def _variant(combination: Combination, records: Mapping[str, Record]) -> Variant | None:
    own = [records[place.key] for place in combination.cells if place.key in records]
    return Variant(combination.label, tuple(own)) if own else None


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
        paired = [pair_outcomes(column, baseline, variant) for column in columns]
        against = overall([pair for pair, _ in paired if pair])
        if not any(pair for pair, _ in paired):
            against = _by_seed(columns, baseline, variant)
        of_reason = group_by(
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
    """The difference over seeds alone, for metrics without outcomes of images."""
    scores = [pair for column in columns if (pair := pair_scores(column, baseline, variant))]
    mean = average_scores(scores)
    if mean is None or mean.difference is None:
        return None
    first, second = fmean(mean.first), fmean(mean.second)
    return Overall(mean.seeds, first, second, mean.difference, by_seed=True)


def _why(record: Record | None) -> str:
    if record is None:
        return NOT_RUN
    if record.failure is None:
        return "failed"
    kind = FAILURE_TEXTS.get(record.failure.kind, f"failed, {record.failure.kind}")
    reason = on_one_line(record.failure.message)
    return f"{kind}: {reason}" if reason else kind


# --- main effects -------------------------------------------------------------------------------


def _effects(
    grid: Grid, complete: Mapping[Pairs, Variant], columns: Sequence[Column]
) -> Iterable[Effect]:
    """An effect for every value whose combinations have complete partners.

    A partner has the baseline's value of this option and the same values of all others, so that in
    a grid with holes the effect of one option is not attributed to another.
    """
    for index, (factor, reference) in enumerate(grid.baseline.levels):
        for level in dict.fromkeys(c.levels[index][1] for c in grid.combinations):
            if level == reference:
                continue
            with_level = [c for c in grid.combinations if c.levels[index][1] == level]
            matched = []
            for combination in with_level:
                partner = _changed(combination.levels, index, reference)
                if partner in complete and combination.levels in complete:
                    sides = complete[partner], complete[combination.levels]
                    pairs = [pair_outcomes(column, *sides)[0] for column in columns]
                    paired = [pair for pair in pairs if pair]
                    matched += [paired] if len(paired) == len(columns) else []
            if matched:
                yield Effect(
                    factor,
                    level,
                    reference,
                    len(matched),
                    len(with_level),
                    _mean([[pair.first for pair in pairs] for pairs in matched]),
                    _mean([[pair.second for pair in pairs] for pairs in matched]),
                    _difference(matched),
                )


def _changed(levels: Pairs, index: int, level: str) -> Pairs:
    return (*levels[:index], (levels[index][0], level), *levels[index + 1 :])


def _difference(matched: Sequence[Sequence[PairedOutcomes]]) -> Difference:
    """The mean over settings; they share images and seeds, so it is taken first."""
    if len(matched) == 1:
        only = overall(matched[0])
        assert only is not None, "complete combinations have their seeds in common"
        return only.difference
    parts = []
    for of_set in zip(*matched, strict=True):
        sources = frozenset[str]().union(*(pair.trained_on for pair in of_set))
        together = replace(of_set[0], trained_on=sources)
        parts.append(together.part(np.mean([pair.changes for pair in of_set], axis=0)))
    return difference(parts)


def _mean(settings: Sequence[Sequence[Values]]) -> float:
    """Percent of right outcomes, on average over columns and settings."""
    return 100 * fmean(float(right.mean()) for columns in settings for right in columns)
