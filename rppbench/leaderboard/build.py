"""Leaderboard tables built from records: rows are variants, columns are data sets or metrics.

A table holds records of one setting and one version of the data (`comparability`), so that its
numbers can be compared. `rows` computes the numbers, `row_order` sorts and ranks them,
`between_rows` compares them, and `published_match` adds published numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rppbench.errors import unknown
from rppbench.leaderboard.between_rows import with_statistics
from rppbench.leaderboard.comparability import age, comparable, is_of_dataset, lacks_data, setting
from rppbench.leaderboard.grouping import group_by
from rppbench.leaderboard.kept import Kept, Statistics, Without
from rppbench.leaderboard.published_match import published_matches
from rppbench.leaderboard.row_order import ordered
from rppbench.leaderboard.rows import (
    columns_of,
    displayed_metrics,
    other_averages,
    row,
    with_averages,
)
from rppbench.leaderboard.tables import Table
from rppbench.leaderboard.variants import Variant, variants
from rppbench.records.cell import SPLIT
from rppbench.records.record import FEWER_IMAGES, Record


@dataclass(frozen=True)
class TableWithVariants:
    """A table, and the variants whose records its rows summarise."""

    table: Table
    variants: tuple[Variant, ...]


def build(
    records: Iterable[Record],
    task: str | None = None,
    metric: str | None = None,
    allow_mixed: bool = False,
    kept: Kept | Without | None = None,
) -> list[Table]:
    """All tables of the records, or those of one task; `metric` replaces each task's primary one.

    `allow_mixed` puts records that must not be compared into one table, which lists in `mixed`
    what differs. `kept` holds statistics from before; without it all are computed.
    Raises UsageError for a metric or a task that no record has.
    """
    return [built.table for built in build_with_variants(records, task, metric, allow_mixed, kept)]


def build_with_variants(
    records: Iterable[Record],
    task: str | None = None,
    metric: str | None = None,
    allow_mixed: bool = False,
    kept: Kept | Without | None = None,
) -> list[TableWithVariants]:
    """As `build`, each table with its variants."""
    known = sorted(records, key=lambda record: (record.cell.task.name, record.key))
    chosen = [record for record in known if task in (None, record.cell.task.name)]
    if task is not None and not chosen:
        names = {record.cell.task.name for record in known}
        raise unknown("record is of a task named", task, names, "tasks with records")
    if metric is not None:
        metrics = {score.metric for record in chosen for score in record.scores}
        if metric not in metrics:
            raise unknown("score is named", metric, metrics, "metrics in the records")
    kept = kept or Kept()
    result: list[TableWithVariants] = []
    for of_task in group_by(chosen, lambda record: record.cell.task.name).values():
        groups = comparable(of_task)
        tables = [_table(group, variants(group), metric, kept) for group in groups]
        tables = _with_differences(sorted(tables, key=lambda built: built.table.requested_shots))
        mix = allow_mixed and len(tables) > 1
        result += [_mixed(tables, of_task, metric, kept)] if mix else tables
    return result


def _with_differences(tables: Sequence[TableWithVariants]) -> list[TableWithVariants]:
    """The tables of one task, each with the conditions in which they differ."""
    values: dict[str, set[str]] = {}
    for built in tables:
        for name, value in built.table.setting:
            values.setdefault(name, set()).add(value)
    return [
        replace(
            built,
            table=replace(
                built.table,
                differences=tuple(c for c in built.table.setting if len(values[c[0]]) > 1),
            ),
        )
        for built in tables
    ]


def _mixed(
    tables: Sequence[TableWithVariants],
    records: Sequence[Record],
    metric: str | None,
    kept: Kept | Without,
) -> TableWithVariants:
    """All tables of a task as one, with the differing conditions in the labels of its rows."""
    relabelled = [
        replace(variant, label=" · ".join([variant.label, *map(" ".join, built.table.differences)]))
        for built in tables
        for variant in built.variants
    ]
    names = dict.fromkeys(name for built in tables for name, _ in built.table.differences)
    merged = _table(records, relabelled, metric, kept)
    conditions = tuple((n, "mixed" if n in names else v) for n, v in merged.table.setting)
    return replace(merged, table=replace(merged.table, setting=conditions, mixed=tuple(names)))


def _table(
    records: Sequence[Record], variants: Sequence[Variant], metric: str | None, kept: Kept | Without
) -> TableWithVariants:
    newest = max(records, key=age)
    cell = newest.cell
    primary = metric or next((record.metric for record in records if record.metric), "")
    columns = columns_of(records, primary, every=metric is None)
    rows = with_averages([row(variant, columns) for variant in variants], columns)
    if len({column.dataset for column in columns}) > 1:
        metrics = [name for name in displayed_metrics(records) if name != primary]
        others = other_averages(variants, columns, metrics)
        rows = [replace(r, others=of_row) for r, of_row in zip(rows, others, strict=True)]
    rows = ordered(rows, columns, primary)
    order = {row.label: place for place, row in enumerate(rows)}
    in_order = sorted(variants, key=lambda variant: order[variant.label])
    scored = {  # the same for most records: from each once
        (record.cell.dataset, record.labels.get("dataset", ""), record.cell.inputs): record.cell
        for record in records
        if not lacks_data(record)
    }
    data_versions = {
        (f"{'split' if name.startswith(SPLIT) else 'data'} of {title or dataset}", value)
        for (dataset, title, inputs), of_set in scored.items()
        for name, value in inputs
        if is_of_dataset(name, of_set)
    }
    table = Table(
        task=cell.task.name,
        title=newest.labels.get("task") or cell.task.name,
        metric=primary,
        setting=(*setting(cell), *sorted(data_versions)),
        columns=tuple(columns),
        rows=tuple(rows),
        devices=tuple(sorted({r.environment.get("device", "") for r in records} - {""})),
        ranking=None,
        few_images=tuple(sorted({line for r in records if (line := _few_images(r))})),
        reported=tuple(published_matches(in_order)),
    )

    def compute() -> Statistics:
        from rppbench.leaderboard.statistics import statistics

        return statistics(in_order, columns, average=not table.by_metric)

    known = kept.get([variant.label for variant in in_order], columns, records, compute)
    table = with_statistics(table, known) if known else table
    return TableWithVariants(table, tuple(variants))


def _few_images(record: Record) -> str:
    """The line on classes with fewer training images than shots, with its data set; '' if none."""
    few = record.environment.get(FEWER_IMAGES, "")
    source = record.labels.get("source") or (record.cell.training and record.cell.training.source)
    return f"{source}: {few}" if few else ""
