"""Columns and rows of a table, computed from records; `row_order` sorts and ranks the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from rppbench.leaderboard.comparability import age
from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.number_format import decimals
from rppbench.leaderboard.published_match import HARMONIC_OF_AVERAGES
from rppbench.leaderboard.tables import Average, Column, Inference, Missing, Row, TableCell
from rppbench.leaderboard.variants import Variant
from rppbench.records.cell import recipe_name, spell
from rppbench.records.record import INFERENCE, SEEN_NAMES, VALIDATION, Record, is_detail
from rppbench.stats.intervals import harmonic_mean


def columns_of(records: Sequence[Record], primary: str, every: bool) -> list[Column]:
    """A column for each data set, with the metric `primary`.

    If `every` and there is a single data set: a column for each metric, `primary` first.
    """
    of_sets = group_by(records, lambda record: record.cell.dataset)
    # A cell that failed before its data set was read has no labels, however new it is.
    newest = {
        n: max(of_set, key=lambda r: (bool(r.labels), age(r))) for n, of_set in of_sets.items()
    }
    titled = []
    for name, record in newest.items():
        title = record.labels.get("dataset") or name
        order = record.labels.get("dataset_order", "")
        place = int(order) if order.isdecimal() else len(records) + 10**6  # unordered ones last
        titled.append((place, title, name))
    if len(titled) == 1 and every:
        metrics = dict.fromkeys([primary, *displayed_metrics(records)])
        return [Column(titled[0][2], titled[0][1], metric) for metric in metrics]
    return [Column(name, title, primary) for _, title, name in sorted(titled)]


def displayed_metrics(records: Sequence[Record]) -> list[str]:
    """Metrics that tables show by default, in the order of the scores."""
    metrics = dict.fromkeys(score.metric for record in records for score in record.scores)
    return [metric for metric in metrics if not is_detail(metric)]


def row(variant: Variant, columns: Sequence[Column]) -> Row:
    """The row of a variant, before averages and ranks are given and best numbers are marked."""
    newest = variant.newest
    cell, labels, training = newest.cell, newest.labels, newest.cell.training
    ok = [r for r in variant.records if r.status == "ok" and not r.cell.imported]
    entries = tuple(_table_cell(variant, column) for column in columns)
    seconds: dict[str, float] = {}
    for record in ok:
        if record.cell.training is not None:
            key = record.cell.training.key
            seconds[key] = max(seconds.get(key, 0.0), record.cost.train_seconds)
    parameters = {record.cost.parameters for record in ok}
    return Row(
        label=variant.label,
        method=cell.method.name,
        options=tuple((name, spell(value)) for name, value in cell.method.options),
        facts=variant.attributes,
        recipe=recipe_name(training) if training else "",
        source=variant.learned_on,
        shots=training.shots if training else None,
        teacher=(training.teacher or "") if training else "",
        paper=labels.get("paper", ""),
        validation=", ".join(sorted({r.labels.get(VALIDATION, "") for r in ok} - {""})),
        seeds=variant.seeds,
        deterministic=variant.deterministic,
        entries=entries,
        average=None,
        rank=None,
        parameters=max(parameters, default=None),
        fewest_parameters=min(parameters) if len(parameters) > 1 else None,
        train_seconds=fmean(seconds.values()) if seconds else None,
        inference=_inference(ok),
        seen_names=_seen_names(variant.records),
    )


def with_averages(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """The rows with their averages over the data sets, if there are several.

    Averages over different sets never share a column: where rows have numbers on different sets,
    only those with a number on each have an average.
    """
    if len({column.dataset for column in columns}) == 1:
        return list(rows)
    averages = _averages([row.entries for row in rows])
    return [replace(row, average=average) for row, average in zip(rows, averages, strict=True)]


def _inference(records: Sequence[Record]) -> Inference | None:
    costs = [record.cost for record in records if record.cost.flops_per_image]
    if not costs:
        return None
    means = (fmean(getattr(cost, name) for cost in costs) for name in INFERENCE)
    return Inference(*means)


def _seen_names(records: Sequence[Record]) -> tuple[tuple[str, int, int], ...]:
    counts = {}
    for record in sorted((r for r in records if SEEN_NAMES in r.labels), key=age):
        seen, slash, total = record.labels.get(SEEN_NAMES, "").partition("/")
        if slash and seen.isdecimal() and total.isdecimal():
            counts[record.cell.dataset] = (record.cell.dataset, int(seen), int(total))
    return tuple(counts[name] for name in sorted(counts))


def other_averages(
    variants: Sequence[Variant], columns: Sequence[Column], metrics: Sequence[str]
) -> list[tuple[tuple[str, Average], ...]]:
    """For each variant (metric, average over the data sets) of these metrics, as `with_averages`.

    With base and new among them, also the harmonic mean of their averages, which papers print.
    """
    cells = [[_table_cells(variant, c.dataset, metrics) for c in columns] for variant in variants]
    of_metrics = {
        metric: _averages([[cell[metric] for cell in of_variant] for of_variant in cells])
        for metric in metrics
    }
    result = []
    for index in range(len(variants)):
        averages = {metric: of_variants[index] for metric, of_variants in of_metrics.items()}
        if "base" in averages and "new" in averages:
            base, new = averages["base"], averages["new"]
            pairs = zip(base.values, new.values, strict=bool(base.values and new.values))
            values = tuple((seed, harmonic_mean(b, n)) for (seed, b), (_, n) in pairs)
            complete = min(base.complete, new.complete)
            averages[HARMONIC_OF_AVERAGES] = Average(values, complete, base.expected)
        result.append(tuple(averages.items()))
    return result


def _table_cell(variant: Variant, column: Column) -> TableCell:
    return _table_cells(variant, column.dataset, (column.metric,))[column.metric]


def _table_cells(variant: Variant, dataset: str, metrics: Sequence[str]) -> Mapping[str, TableCell]:
    """The cell of each metric, from one pass over the records."""
    values: dict[str, dict[int, float]] = {metric: {} for metric in metrics}
    missing: list[Missing] = []
    for seed, record in variant.by_seed(dataset):
        if record is None:
            continue
        if record.failure is not None:
            missing.append(Missing(seed, record.failure.kind, record.reason))
        for score in record.scores:
            if score.metric in values:
                values[score.metric].setdefault(seed, score.value)
    return {
        metric: TableCell(
            tuple(of_metric.items()),
            len(variant.seeds),
            tuple(missing),
            decimals=decimals(metric),
        )
        for metric, of_metric in values.items()
    }


def _averages(rows: Sequence[Sequence[TableCell]]) -> list[Average]:
    """The average of each row; without a value where it would be over other sets than the rest."""
    averages = [_average(entries) for entries in rows]
    present = [tuple(bool(entry.values) for entry in entries) for entries in rows]
    if len({sets for sets in present if any(sets)}) > 1:
        averages = [
            average if all(sets) else replace(average, values=(), partial=None)
            for average, sets in zip(averages, present, strict=True)
        ]
    return averages


def _average(entries: Sequence[TableCell]) -> Average:
    """The average over data sets, by seed; if any seed is missing, one mean of all values."""
    with_values = [dict(entry.values) for entry in entries if entry.values]
    digits = max(entry.decimals for entry in entries)
    complete = sum(entry.is_complete for entry in entries)
    if complete == len(entries):
        values = tuple((seed, fmean([v[seed] for v in with_values])) for seed in with_values[0])
        return Average(values, complete, len(entries), decimals=digits)
    means = [fmean(values.values()) for values in with_values]
    mean = fmean(means) if means else None
    return Average((), complete, len(entries), partial=mean, decimals=digits)
