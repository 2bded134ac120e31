"""Numbers of claims that follow from the committed records and pages of `leaderboards`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from statistics import fmean

from rppbench.comparison.compare import compare
from rppbench.leaderboard.build import build
from rppbench.leaderboard.kept import Kept, Statistics
from rppbench.leaderboard.tables import SHOTS_OPTION, Row, Table
from rppbench.records.record import Record
from rppbench.records.store import Store
from support.claims.numbers import numbers

LEADERBOARDS = Path(__file__).parents[3] / "leaderboards"


@cache
def records() -> tuple[Record, ...]:
    """The records of `leaderboards`."""
    return tuple(Store(LEADERBOARDS).all()[0])


@cache
def tables() -> tuple[Table, ...]:
    """With the committed statistics, which tests/leaderboard/test_committed.py computes."""
    return tuple(build(records(), kept=Kept(LEADERBOARDS)))


def _table(task: str) -> Table:
    """The only table of a task, or that of 'few-shot/4' with 4 shots."""
    task, _, shots = task.partition("/")
    (table,) = (
        table
        for table in tables()
        if table.task == task and (not shots or table.requested_shots == int(shots))
    )
    return table


def _row(table: Table, label: str) -> Row:
    """The only row with this label."""
    (row,) = (row for row in table.rows if row.label == label)
    return row


def compared(task: str, first: str, second: str, what: str = "") -> list[float]:
    """Both means, the difference and its interval; `what` is '4 shots' or a metric."""
    shots = what.removesuffix(" shots") if what.endswith("shots") else ""
    metric = what if what and not shots else None
    comparisons, _ = compare(records(), first, second, task, metric)
    for one in comparisons:
        if shots and dict(one.table.setting).get(SHOTS_OPTION) != shots:
            continue
        if one.pairs:
            result = one.overall
            if result is None:  # one data set: its first metric, or the one asked for
                pair = one.pairs[0]
                sides = [100 * float(side.mean()) for side in (pair.first, pair.second)]
                return [*sides, pair.difference.mean, pair.difference.low, pair.difference.high]
            change = result.difference
            return [result.first, result.second, change.mean, change.low, change.high]
        paired = one.average_by_seed or one.by_seed[0][1]
        assert paired.difference is not None
        difference = paired.difference
        sides = [fmean(paired.first), fmean(paired.second)]
        return [*sides, difference.mean, difference.low, difference.high]
    raise AssertionError(f"{task} has no such table: {what}")


def _ablation(name: str, *labels: str) -> list[float]:
    """All numbers of rows of a grid's page: a combination 'length=16', or an effect 'kd/off'."""
    text = (LEADERBOARDS / "ablations" / f"ablation-{name}.md").read_text(encoding="utf-8")
    values = []
    for label in labels:
        start = "| " + label.replace("/", " | ") + " |"
        (line,) = (line for line in text.splitlines() if line.startswith(start))
        values += [float(number) for number in numbers(line[len(start) :].replace("*", ""))]
    return values


def _cells(task: str, *names: str) -> list[float]:
    """The means of rows in columns; `names` are columns and labels of rows, in any order."""
    table = _table(task)
    columns = [at for at, column in enumerate(table.columns) if table.heading(column) in names]
    rows = [row for row in table.rows if row.label in names]
    assert len(columns) + len(rows) == len(names)
    return [row.entries[at].mean or 0.0 for at in columns for row in rows]


def _seconds(measured: Iterable[Record]) -> float:
    """Of all trainings, each counted once with its longest run, and of all tests."""
    trained: dict[str, float] = {}
    tested = 0.0
    for record in measured:
        if (training := record.cell.training) is not None:
            longest = max(trained.get(training.key, 0.0), record.cost.train_seconds)
            trained[training.key] = longest
        tested += record.cost.eval_seconds
    return sum(trained.values()) + tested


def _minutes(task: str, *methods: str) -> list[float]:
    """Minutes of all trainings and tests of these methods under seed 1, and the seed."""
    of_seed = [
        one
        for one in records()
        if (one.cell.task.name, one.cell.seed) == (task, 1) and one.cell.method.name in methods
    ]
    return [_seconds(of_seed) / 60, 1.0]


def _hours() -> list[float]:
    """Hours of all trainings and tests of the tables, and of the grids, one after the other."""
    grids = Store(LEADERBOARDS / "ablations").all()[0]
    return [_seconds(measured) / 3600 for measured in (records(), grids)]


def _separated(task: str) -> list[float]:
    """Separated pairs, pairs, rows that differ from the reference, rows compared with it, rows."""
    table = _table(task)
    assert table.ranking is not None
    return [table.ranking.separated, table.ranking.pairs, *_above(task), len(table.rows)]


def _without(task: str, *methods: str) -> list[float]:
    """Separated pairs, pairs and rows of the task's table without these methods."""
    kept = [r for r in records() if r.cell.task.name == task and r.cell.method.name not in methods]
    (table,) = build(kept, kept=Kept(LEADERBOARDS))
    assert table.ranking is not None
    return [table.ranking.separated, table.ranking.pairs, len(table.rows)]


def _above(task: str) -> list[float]:
    """Rows that differ from the reference after correction, and rows compared with it."""
    table = _table(task)
    tests = [row.against for row in table.rows if row.against]
    return [sum(test.corrected < 0.05 for test in tests), len(tests)]


def _seeds(task: str, *labels: str) -> list[float]:
    """The least and the greatest average that one seed of a row gives, for each row."""
    table = _table(task)
    result = []
    for label in labels:
        row = _row(table, label)
        assert row.average is not None
        averages = [value for _, value in row.average.values]
        result += [min(averages), max(averages)]
    return result


def _shots(label: str) -> list[float]:
    """Averages of a row for 1, 2, 4, 8 and 16 shots; the difference at 16 from zero-shot."""
    averages = []
    for table in sorted(
        (table for table in tables() if table.task == "few-shot"), key=lambda t: t.requested_shots
    ):
        row = _row(table, label)
        assert row.average is not None
        assert row.average.mean is not None
        averages.append(row.average.mean)
    against = compared("few-shot", "zeroshot", label, "16 shots")
    return [*averages, *against[2:]]


def _averages(task: str, *labels: str) -> list[float]:
    """The averages of rows of a task's table, and each less that of the reference row."""
    table = _table(task)
    means = {row.label: row.average.mean for row in table.rows if row.average}
    reference = means[table.reference]
    values = []
    for label in labels:
        mean = means[label]
        assert mean is not None
        assert reference is not None
        values += [mean, mean - reference]
    return values


def _dominating(task: str, *labels: str) -> list[float]:
    """The percent of the variance that the dominating data set has, and averages without it."""
    table = _table(task)
    rows = {row.label: row.without for row in table.rows}
    return [100 * table.dominance, *(rows[label] or 0.0 for label in labels)]


def _half_widths(task: str) -> list[float]:
    """The least and greatest half width of a difference of two rows that have several seeds."""
    table = _table(task)

    def unknown() -> Statistics:
        raise AssertionError(f"the committed statistics have no table of {task}")

    kept = Kept(LEADERBOARDS).get(
        [row.label for row in table.rows],
        table.columns,
        [record for record in records() if record.cell.task.name == task],
        unknown,
    )
    widths = [test.half_width for test in kept.tests if test.seeds > 1]
    return [min(widths), max(widths)]


def _validation(method: str, *rates: str) -> list[float]:
    """Mean validation accuracy over three seeds of rates that were searched: one, then two more."""
    values = []
    for rate in rates:
        sums = 0.0
        for file, seeds in ((method, 1), (f"{method}-seeds", 2)):
            text = (LEADERBOARDS / f"embedded/rates/{file}.md").read_text(encoding="utf-8")
            (line,) = (line for line in text.splitlines() if line.startswith(f"| {rate} |"))
            sums += seeds * float(line.split("|")[3])
        values.append(sums / 3)
    return values


def _trials(page: str) -> list[float]:
    """The numbers of a search that `rppbench tune` wrote, row by row."""
    text = (LEADERBOARDS / f"embedded/{page}.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [float(number) for row in rows for number in numbers(row)]


def _seen_names(task: str, label: str) -> list[float]:
    """Class names of a task's data sets that a row learned elsewhere, and all of them."""
    names = _row(_table(task), label).seen_names
    return [float(sum(counts)) for counts in zip(*(each[1:] for each in names), strict=True)]


def _groups(task: str) -> list[float]:
    """The numbers of groups of test images that the records of a task name."""
    counts = set()
    for record in records():
        if record.cell.task.name == task:
            for score in record.scores:
                groups = score.groups()
                counts |= {float(len(set(groups)))} if groups else set()
    return sorted(counts)


def _shot_counts() -> list[float]:
    """The numbers of shots of the tables of few-shot."""
    return [float(table.requested_shots) for table in tables() if table.task == "few-shot"]


CHECKS: dict[str, Callable[..., list[float]]] = {
    "compare": compared,
    "ablation": _ablation,
    "cells": _cells,
    "minutes": _minutes,
    "hours": _hours,
    "separated": _separated,
    "without": _without,
    "above": _above,
    "seeds": _seeds,
    "shots": _shots,
    "shot_counts": _shot_counts,
    "seen_names": _seen_names,
    "groups": _groups,
    "averages": _averages,
    "dominating": _dominating,
    "half_widths": _half_widths,
    "validation": _validation,
    "trials": _trials,
}
