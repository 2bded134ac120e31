"""From records to tables: methods by data sets, and never two things that cannot be compared.

A table holds the records of one *setting*: task with options, backbone, precision, number of test
images. Where the data of a set changed between runs, each version gets a table of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from rppbench import tables
from rppbench.errors import unknown
from rppbench.records import Cell, Record, digest, spell
from rppbench.store import file_name, write_whole
from rppbench.tables import Average, Column, Entry, Facts, Missing, Row, Table

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def build(
    records: Iterable[Record], task: str | None = None, metric: str | None = None
) -> list[Table]:
    """All tables of the records, by task; `metric` takes the place of each task's primary one.

    Raises UsageError for a metric or a task that no record has.
    """
    known = sorted(records, key=lambda record: (record.cell.task.name, record.key))
    chosen = [record for record in known if task in (None, record.cell.task.name)]
    if task is not None and not chosen:
        names = {record.cell.task.name for record in known}
        raise unknown("record is of a task named", task, names, "tasks with records")
    metrics = {score.metric for record in chosen for score in record.scores}
    if metric is not None and metric not in metrics:
        raise unknown("score is named", metric, metrics, "metrics in the records")
    result: list[Table] = []
    for of_task in _grouped(chosen, lambda record: record.cell.task.name).values():
        parts = [
            part
            for of_setting in _grouped(of_task, lambda record: _setting(record.cell)).values()
            for part in _versions(of_setting)
        ]
        result += _told_apart([_table(part, metric) for part in parts])
    return result


def write_leaderboards(records: Iterable[Record], folder: Path) -> list[Path]:
    """Write <task>.md, .csv and .json of every task into a folder; the paths written."""
    written = []
    for name, of_task in _grouped(build(records), lambda table: table.task).items():
        for ending, text in (
            ("md", tables.markdown(of_task)),
            ("csv", tables.csv(of_task)),
            ("json", tables.json(of_task)),
        ):
            path = Path(folder) / f"{file_name(name)}.{ending}"
            write_whole(path, text)
            written.append(path)
    return written


# --- what may stand in one table ----------------------------------------------------------------


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _setting(cell: Cell) -> Facts:
    """What must agree in all cells of a table; the scored data set's own inputs are not in it."""
    return (
        ("backbone", cell.backbone),
        ("precision", cell.precision),
        ("test images", "all" if cell.limit is None else f"at most {cell.limit}"),
        *((f"task option {name}", spell(value)) for name, value in cell.task.options),
        *((what, value) for what, value in cell.inputs if not _of_dataset(what, cell)),
    )


def _of_dataset(what: str, cell: Cell) -> bool:
    kind, _, subject = what.partition(":")
    return subject == cell.dataset and kind not in ("backbone", "task")


def _versions(records: Sequence[Record]) -> list[list[Record]]:
    """Records of one setting, split where a data set has several comparability keys.

    The newest version of every set comes first, together with the sets that have only one.
    """
    parts: list[list[Record]] = []
    for of_dataset in _grouped(records, lambda record: record.cell.dataset).values():
        # Where data was missing no number was measured: it is no version of the data.
        blocked = [record for record in of_dataset if _blocked(record)]
        measured = [record for record in of_dataset if not _blocked(record)]
        versions = _newest_first(_grouped(measured, lambda r: r.cell.comparability).values())
        for index, version in enumerate(versions or [[]]):
            if index == len(parts):
                parts.append([])
            parts[index] += version + (blocked if index == 0 else [])
    return parts


def _newest_first(groups: Iterable[list[Record]]) -> list[list[Record]]:
    return sorted(groups, key=lambda g: max((r.finished, r.key) for r in g), reverse=True)


def _blocked(record: Record) -> bool:
    return record.failure is not None and record.failure.kind == "missing-data"


def _told_apart(parts: Sequence[Table]) -> list[Table]:
    """The tables of one task, each with the facts in which they differ."""
    values: dict[str, set[str]] = {}
    for table in parts:
        for name, value in table.setting:
            values.setdefault(name, set()).add(value)
    return [
        replace(table, differences=tuple(f for f in table.setting if len(values[f[0]]) > 1))
        for table in parts
    ]


# --- one table ----------------------------------------------------------------------------------


def _table(records: Sequence[Record], metric: str | None) -> Table:
    newest = max(records, key=lambda record: (record.finished, record.key))
    cell = newest.cell
    primary = metric or next((record.metric for record in records if record.metric), "")
    columns = _columns(records, primary, every=metric is None)
    rows = [_row(of_row, columns) for of_row in _rows(records)]
    rows = _best(_sorted(_labelled(rows)), len(columns))
    digests = {
        (f"data of {title}", value)
        for record in records
        if not _blocked(record)
        for what, value in record.cell.inputs
        if _of_dataset(what, record.cell)
        for title in [record.labels.get("dataset") or record.cell.dataset]
    }
    return Table(
        task=cell.task.name,
        title=newest.labels.get("task") or cell.task.name,
        metric=primary,
        setting=(*_setting(cell), *sorted(digests)),
        columns=tuple(columns),
        rows=tuple(rows),
        devices=tuple(sorted({r.environment.get("device", "") for r in records} - {""})),
    )


def _columns(records: Sequence[Record], primary: str, every: bool) -> list[Column]:
    """One for each data set; one for each metric (if `every`) where there is a single set."""
    newest = {r.cell.dataset: r for r in sorted(records, key=lambda r: (r.finished, r.key))}
    titled = []
    for name, record in newest.items():
        title = record.labels.get("dataset") or name
        order = record.labels.get("dataset_order", "")
        rank = int(order) if order.isdecimal() else len(records) + 10**6  # unordered ones last
        titled.append((rank, title, name))
    if len(titled) == 1 and every:
        found = [score.metric for record in records for score in record.scores]
        metrics = dict.fromkeys([primary, *found])
        return [Column(titled[0][2], titled[0][1], metric) for metric in metrics]
    return [Column(name, title, primary) for _, title, name in sorted(titled)]


def _rows(records: Sequence[Record]) -> list[list[Record]]:
    """Records that differ in data set and seed only."""
    rows = []
    for alike in _grouped(records, lambda record: _row_key(record.cell)).values():
        variants = _grouped(alike, lambda r: r.cell.training.inputs if r.cell.training else ())
        measured = _newest_first(v for v in variants.values() if not all(map(_blocked, v)))
        blocked = [r for v in variants.values() if all(map(_blocked, v)) for r in v]
        if measured:
            measured[0] += blocked  # its inputs could not be read; it can only be the same row
        rows += measured or [blocked]
    return rows


def _row_key(cell: Cell) -> str:
    training = asdict(cell.training) if cell.training else {}
    kept = {name: value for name, value in training.items() if name not in ("seed", "inputs")}
    return digest([asdict(cell.method), kept])


def _row(records: Sequence[Record], columns: Sequence[Column]) -> Row:
    newest = max(records, key=lambda record: (record.finished, record.key))
    cell, labels, training = newest.cell, newest.labels, newest.cell.training
    ok = [record for record in records if record.status == "ok"]
    seeds = sorted({record.cell.seed for record in records})
    if training is None:  # nothing random: another seed is the same number, not another draw
        seeds = [min({r.cell.seed for r in ok} or seeds)]
    entries = tuple(_entry(records, column, seeds, training is None) for column in columns)
    seconds: dict[str, float] = {}
    for record in ok:
        if record.cell.training is not None:
            key = record.cell.training.key
            seconds[key] = max(seconds.get(key, 0.0), record.cost.train_seconds)
    options = labels.get("method_options", "")
    method = labels.get("method") or cell.method.name
    return Row(
        label=f"{method} ({options})" if options else method,
        method=cell.method.name,
        options=tuple((name, spell(value)) for name, value in cell.method.options),
        facts=_facts(newest),
        recipe=training.recipe.name if training else "",
        source=(labels.get("source") or training.source) if training else "",
        shots=training.shots if training else None,
        teacher=(training.teacher or "") if training else "",
        paper=labels.get("paper", ""),
        seeds=tuple(seeds),
        deterministic=training is None,
        entries=entries,
        average=_average(entries) if len({c.dataset for c in columns}) > 1 else None,
        parameters=max((record.cost.parameters for record in ok), default=None),
        train_seconds=fmean(seconds.values()) if seconds else None,
    )


def _entry(
    records: Sequence[Record], column: Column, seeds: Sequence[int], deterministic: bool
) -> Entry:
    values: dict[int, float] = {}
    missing: list[Missing] = []
    here = [record for record in records if record.cell.dataset == column.dataset]
    for seed in seeds:
        found = [record for record in here if deterministic or record.cell.seed == seed]
        # Several only where data was missing before it was there, or nothing is random.
        best = max(found, key=lambda r: (r.status == "ok", r.finished, r.key), default=None)
        score = best.score(column.metric) if best is not None else None
        if score is not None:
            values[seed] = score.value
        elif best is not None and best.failure is not None:
            missing.append(Missing(seed, best.failure.kind, best.failure.message))
    return Entry(tuple(values.items()), len(seeds), tuple(missing))


def _average(entries: Sequence[Entry]) -> Average:
    """Over the data sets that have a number; over seeds first only where none is missing."""
    with_number = [dict(entry.values) for entry in entries if entry.values]
    complete = sum(entry.whole for entry in entries)
    if complete == len(entries):
        values = tuple((seed, fmean(v[seed] for v in with_number)) for seed in with_number[0])
        return Average(values, complete, len(entries))
    means = [fmean(values.values()) for values in with_number]
    return Average((), complete, len(entries), partial=fmean(means) if means else None)


def _facts(record: Record) -> Facts:
    """What can tell two rows of one label apart, the plainest first."""
    cell, training = record.cell, record.cell.training
    options = tuple((name, spell(value)) for name, value in cell.method.options)
    if training is None:
        return (("method", cell.method.name), *options)
    return (
        ("method", cell.method.name),
        ("recipe", training.recipe.name),
        ("learned on", record.labels.get("source") or training.source),
        ("shots", str(training.shots)),
        ("classes", training.classes),
        ("teacher", training.teacher or "none"),
        *options,
        *((f"recipe {name}", spell(value)) for name, value in training.recipe.options),
        ("learned in", training.precision),
        ("backbone learned with", training.backbone),
        *training.inputs,
    )


def _labelled(rows: Sequence[Row]) -> list[Row]:
    """Rows whose labels are equal get the facts they differ in, as few as are needed."""
    result: list[Row] = []
    for alike in _grouped(rows, lambda row: row.label).values():
        group = list(alike)
        for name in dict.fromkeys(name for row in alike for name, _ in row.facts):
            if len({row.label for row in group}) == len(group):
                break
            values = [dict(row.facts).get(name) for row in group]
            if len(set(values)) > 1:
                group = [
                    row if value is None else replace(row, label=f"{row.label} · {name} {value}")
                    for row, value in zip(group, values, strict=True)
                ]
        result += group
    return result


def _sorted(rows: Sequence[Row]) -> list[Row]:
    """Best first; rows with gaps after the complete ones, rows without any number last."""

    def rank(row: Row) -> tuple[bool, bool, float, str]:
        shown: Average | Entry = row.average or row.entries[0]
        mean = shown.mean
        return (mean is None, not shown.whole, -(mean or 0.0), row.label)

    return sorted(rows, key=rank)


def _best(rows: Sequence[Row], columns: int) -> list[Row]:
    """Mark the best complete numbers of every column; equal as printed is equal."""
    if len(rows) < 2:
        return list(rows)
    for index in range(columns):
        best = _top(row.entries[index] for row in rows)
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
    best = _top(row.average for row in rows if row.average)
    return [
        replace(row, average=replace(row.average, best=row.average.printed == best))
        if row.average and row.average.whole
        else row
        for row in rows
    ]


def _top(shown: Iterable[Entry | Average]) -> str | None:
    complete = [s.printed for s in shown if s.whole and s.printed is not None]
    return max(complete, key=float, default=None)
