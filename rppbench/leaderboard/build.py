"""From records to tables: methods by data sets, and never two things that cannot be compared.

A table holds the records of one setting and one version of the data (see
`rppbench.leaderboard.variants`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from rppbench.errors import unknown
from rppbench.leaderboard.published_match import OF_AVERAGES, reported
from rppbench.leaderboard.tables import (
    Average,
    Column,
    Missing,
    Row,
    Table,
    TableCell,
    asked,
    decimals,
)
from rppbench.leaderboard.variants import (
    Variant,
    age,
    blocked,
    comparable,
    grouped,
    of_dataset,
    setting,
    variants,
)
from rppbench.records.cell import recipe_name, spell
from rppbench.records.record import Record, is_detail, lower_is_better
from rppbench.stats.intervals import harmonic_mean
from rppbench.stats.ranks import Ranking, rank


@dataclass(frozen=True)
class Part:
    """A table, and whose records it was made from."""

    table: Table
    variants: tuple[Variant, ...]


def build(
    records: Iterable[Record],
    task: str | None = None,
    metric: str | None = None,
    allow_mixed: bool = False,
) -> list[Table]:
    """All tables of the records, by task; `metric` takes the place of each task's primary one.

    `allow_mixed` puts into one table what must not be compared, and the table says so. Raises
    UsageError for a metric or a task that no record has.
    """
    return [part.table for part in parts(records, task, metric, allow_mixed)]


def parts(
    records: Iterable[Record],
    task: str | None = None,
    metric: str | None = None,
    allow_mixed: bool = False,
) -> list[Part]:
    """As `build`, with the variants of every table."""
    known = sorted(records, key=lambda record: (record.cell.task.name, record.key))
    chosen = [record for record in known if task in (None, record.cell.task.name)]
    if task is not None and not chosen:
        names = {record.cell.task.name for record in known}
        raise unknown("record is of a task named", task, names, "tasks with records")
    metrics = {score.metric for record in chosen for score in record.scores}
    if metric is not None and metric not in metrics:
        raise unknown("score is named", metric, metrics, "metrics in the records")
    result: list[Part] = []
    for of_task in grouped(chosen, lambda record: record.cell.task.name).values():
        groups = comparable(of_task)
        made = [_part(group, variants(group), metric) for group in groups]
        found = _told_apart(sorted(made, key=lambda part: asked(part.table)))
        result += [_mixed(found, of_task, metric)] if allow_mixed and len(found) > 1 else found
    return result


def _told_apart(found: Sequence[Part]) -> list[Part]:
    """The tables of one task, each with the facts in which they differ."""
    values: dict[str, set[str]] = {}
    for part in found:
        for name, value in part.table.setting:
            values.setdefault(name, set()).add(value)
    return [
        replace(
            part,
            table=replace(
                part.table,
                differences=tuple(f for f in part.table.setting if len(values[f[0]]) > 1),
            ),
        )
        for part in found
    ]


def _mixed(found: Sequence[Part], records: Sequence[Record], metric: str | None) -> Part:
    """All tables of a task as one, whose rows say in what they differ."""
    rows = [
        replace(variant, label=" · ".join([variant.label, *map(" ".join, part.table.differences)]))
        for part in found
        for variant in part.variants
    ]
    names = dict.fromkeys(name for part in found for name, _ in part.table.differences)
    part = _part(records, rows, metric)
    facts = tuple((n, "mixed" if n in names else v) for n, v in part.table.setting)
    return replace(part, table=replace(part.table, setting=facts, mixed=tuple(names)))


# --- one table ----------------------------------------------------------------------------------


def _part(records: Sequence[Record], found: Sequence[Variant], metric: str | None) -> Part:
    newest = max(records, key=age)
    cell = newest.cell
    primary = metric or next((record.metric for record in records if record.metric), "")
    columns = columns_of(records, primary, every=metric is None)
    lower = lower_is_better(primary)
    rows = _best(_sorted([row(variant, columns) for variant in found], lower), columns)
    ranking, rows = _ranked(rows, lower)
    order = {row.label: place for place, row in enumerate(rows)}
    if len({column.dataset for column in columns}) > 1:
        by_label = {variant.label: variant for variant in found}
        names = [name for name in _shown(records) if name != primary]
        rows = [replace(r, others=_others(by_label[r.label], columns, names)) for r in rows]
    digests = {
        (f"data of {title}", value)
        for record in records
        if not blocked(record)
        for what, value in record.cell.inputs
        if of_dataset(what, record.cell)
        for title in [record.labels.get("dataset") or record.cell.dataset]
    }
    table = Table(
        task=cell.task.name,
        title=newest.labels.get("task") or cell.task.name,
        metric=primary,
        setting=(*setting(cell), *sorted(digests)),
        columns=tuple(columns),
        rows=tuple(rows),
        devices=tuple(sorted({r.environment.get("device", "") for r in records} - {""})),
        ranking=ranking,
        reported=tuple(reported(sorted(found, key=lambda e: order[e.label]))),
    )
    return Part(table, tuple(found))


def columns_of(records: Sequence[Record], primary: str, every: bool) -> list[Column]:
    """One for each data set; one for each metric (if `every`) where there is a single set."""
    newest = {r.cell.dataset: r for r in sorted(records, key=age)}
    titled = []
    for name, record in newest.items():
        title = record.labels.get("dataset") or name
        order = record.labels.get("dataset_order", "")
        rank = int(order) if order.isdecimal() else len(records) + 10**6  # unordered ones last
        titled.append((rank, title, name))
    if len(titled) == 1 and every:
        metrics = dict.fromkeys([primary, *_shown(records)])
        return [Column(titled[0][2], titled[0][1], metric) for metric in metrics]
    return [Column(name, title, primary) for _, title, name in sorted(titled)]


def _shown(records: Sequence[Record]) -> list[str]:
    """Metrics that are shown without being asked for, in the order of the scores."""
    found = dict.fromkeys(score.metric for record in records for score in record.scores)
    return [name for name in found if not is_detail(name)]


def _others(
    variant: Variant, columns: Sequence[Column], names: Sequence[str]
) -> tuple[tuple[str, Average], ...]:
    """Averages of the named metrics; of base and new also the mean that papers print."""
    averages = {
        name: _average([_entry(variant, replace(column, metric=name)) for column in columns])
        for name in names
    }
    if "base" in averages and "new" in averages:
        base, new = averages["base"], averages["new"]
        pairs = zip(base.values, new.values, strict=bool(base.values and new.values))
        values = tuple((seed, harmonic_mean(b, n)) for (seed, b), (_, n) in pairs)
        averages[OF_AVERAGES] = Average(values, min(base.complete, new.complete), base.expected)
    return tuple((name, average) for name, average in averages.items())


def row(variant: Variant, columns: Sequence[Column]) -> Row:
    """What stands in the row of an variant; neither what is best nor ranks."""
    newest = variant.newest
    cell, labels, training = newest.cell, newest.labels, newest.cell.training
    ok = [r for r in variant.records if r.status == "ok" and not r.cell.imported]
    entries = tuple(_entry(variant, column) for column in columns)
    seconds: dict[str, float] = {}
    for record in ok:
        if record.cell.training is not None:
            key = record.cell.training.key
            seconds[key] = max(seconds.get(key, 0.0), record.cost.train_seconds)
    return Row(
        label=variant.label,
        method=cell.method.name,
        options=tuple((name, spell(value)) for name, value in cell.method.options),
        facts=variant.facts,
        recipe=recipe_name(training) if training else "",
        source=variant.learned_on,
        shots=training.shots if training else None,
        teacher=(training.teacher or "") if training else "",
        paper=labels.get("paper", ""),
        seeds=variant.seeds,
        deterministic=variant.deterministic,
        entries=entries,
        average=_average(entries) if len({c.dataset for c in columns}) > 1 else None,
        rank=None,
        parameters=max((record.cost.parameters for record in ok), default=None),
        train_seconds=fmean(seconds.values()) if seconds else None,
    )


def _entry(variant: Variant, column: Column) -> TableCell:
    values: dict[int, float] = {}
    missing: list[Missing] = []
    for seed in variant.seeds:
        record = variant.record(column.dataset, seed)
        score = record.score(column.metric) if record is not None else None
        if score is not None:
            values[seed] = score.value
        elif record is not None and record.failure is not None:
            missing.append(Missing(seed, record.failure.kind, record.failure.message))
    return TableCell(
        tuple(values.items()),
        len(variant.seeds),
        tuple(missing),
        decimals=decimals(column.metric),
    )


def _average(entries: Sequence[TableCell]) -> Average:
    """Over the data sets that have a number; over seeds first only where none is missing."""
    with_number = [dict(entry.values) for entry in entries if entry.values]
    digits = max(entry.decimals for entry in entries)
    complete = sum(entry.whole for entry in entries)
    if complete == len(entries):
        values = tuple((seed, fmean(v[seed] for v in with_number)) for seed in with_number[0])
        return Average(values, complete, len(entries), decimals=digits)
    means = [fmean(values.values()) for values in with_number]
    mean = fmean(means) if means else None
    return Average((), complete, len(entries), partial=mean, decimals=digits)


def _sorted(rows: Sequence[Row], lower: bool) -> list[Row]:
    """Best first; rows with gaps after the complete ones, rows without any number last."""

    def rank(row: Row) -> tuple[bool, bool, float, str]:
        shown: Average | TableCell = row.average or row.entries[0]
        mean = shown.mean
        value = mean or 0.0
        return (mean is None, not shown.whole, value if lower else -value, row.label)

    return sorted(rows, key=rank)


def _best(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Mark the best complete numbers of every column; equal as printed is equal."""
    if len(rows) < 2:
        return list(rows)
    for index, column in enumerate(columns):
        best = _top([row.entries[index] for row in rows], column.metric)
        rows = [
            replace(
                row,
                entries=tuple(
                    replace(e, best=e.printed == best) if i == index and e.whole else e
                    for i, e in enumerate(row.entries)
                ),
            )
            for row in rows
        ]
    best = _top([row.average for row in rows if row.average], columns[0].metric)
    return [
        replace(row, average=replace(row.average, best=row.average.printed == best))
        if row.average and row.average.whole
        else row
        for row in rows
    ]


def _top(shown: Sequence[TableCell | Average], metric: str) -> str | None:
    complete = [s.printed for s in shown if s.whole and s.printed is not None]
    best = min if lower_is_better(metric) else max
    return best(complete, key=float, default=None)


def _ranked(rows: Sequence[Row], lower: bool) -> tuple[Ranking | None, list[Row]]:
    """Give complete rows their mean rank over data sets; equal as printed is equal."""
    complete = [row for row in rows if row.average and row.average.whole]
    sign = -1 if lower else 1
    printed = [[sign * float(e.printed) for e in row.entries if e.printed] for row in complete]
    found = rank(printed)
    if found is None:
        return None, list(rows)
    ranking, ranks = found
    of_row = dict(zip((row.label for row in complete), ranks, strict=True))
    return ranking, [replace(row, rank=of_row.get(row.label)) for row in rows]
