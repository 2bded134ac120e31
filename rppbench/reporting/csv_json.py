"""Leaderboard tables as CSV and JSON, with all digits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from csv import writer
from dataclasses import asdict
from io import StringIO
from itertools import compress
from json import dumps

import msgspec

from rppbench.files.printable import printable
from rppbench.leaderboard.tables import Average, Column, PairTest, Row, Table, TableCell
from rppbench.records.record import INFERENCE

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a cell that spreadsheets run as a formula, unless an apostrophe comes first."""
NUMBER = re.compile(r"[+-]?[\d.]+")
HEADS = (
    "task",
    "table",
    "differences",
    "row",
    "method",
    "options",
    "recipe",
    "source",
    "shots",
    "teacher",
    "dataset",
    "metric",
    "mean",
    "half_width",
    "half_width_over",
    "seeds_done",
    "seeds_expected",
    "best",
    "failures",
    "rank",
    "rank_groups",
    "against",
    "difference",
    "difference_half_width",
    "difference_p",
    "parameters",
    "train_seconds",
    "published",
)


OPTIONAL_HEADS = ("validation", *INFERENCE, "seen_names")
"""Columns at the end that a file has where some row has a value."""


def csv(tables: Sequence[Table]) -> str:
    """CSV in long form: one line for each row and column of each table, in the unit of its metric.

    The column `validation` is there if values of any row were chosen on validation images.

    Below a table, one line for each published number that matches it: `mean` is the number as
    printed, and `published` its kind and source.
    """
    text = StringIO()
    lines = writer(text, lineterminator="\n")
    rows = [row for table in tables for row in table.rows]
    there = (
        any(table.chooses for table in tables),
        *(any(row.inference for row in rows),) * len(INFERENCE),
        any(row.seen_names for row in rows),
    )
    more = tuple(compress(OPTIONAL_HEADS, there))
    lines.writerow((*HEADS, *more))

    def write(values: Iterable[object]) -> None:
        lines.writerow(map(_cell, values))

    for number, table in enumerate(tables, 1):
        for row in table.rows:
            for column, entry in zip(table.columns, row.entries, strict=True):
                write(
                    [
                        table.task,
                        number,
                        _pairs(table.differences),
                        row.label,
                        row.method,
                        _pairs(row.options),
                        row.recipe,
                        row.source,
                        row.shots,
                        row.teacher,
                        column.dataset,
                        column.metric,
                        entry.mean,
                        entry.interval.half_width if entry.interval else None,
                        _over(entry),
                        len(entry.values),
                        entry.expected,
                        int(entry.best),
                        ";".join(f"seed {m.seed}: {m.kind}" for m in entry.missing),
                        row.rank.mean if row.rank else None,
                        row.rank.groups if row.rank else None,
                        *_against(row.against),
                        row.parameters,
                        row.train_seconds,
                        "",
                        *map(_optional(row, column).get, more),
                    ]
                )
        for match in table.reported:
            values = {
                "task": table.task,
                "table": number,
                "differences": _pairs(table.differences),
                "row": match.row,
                "dataset": match.what,
                "metric": match.metric,
                "mean": match.printed,
                "published": f"{match.kind}: {match.source}",
            }
            write(values.get(head) for head in (*HEADS, *more))
    return text.getvalue()


def _optional(row: Row, column: Column) -> dict[str, object]:
    """The row's values under `OPTIONAL_HEADS`, as far as it has any."""
    names = {dataset: f"{seen} of {total}" for dataset, seen, total in row.seen_names}
    costs = asdict(row.inference) if row.inference else {}
    return {"validation": row.validation, **costs, "seen_names": names.get(column.dataset)}


def _over(entry: TableCell) -> str:
    """What the half width accounts for: 'seed;drawing'; '' without one."""
    if entry.spread:
        return ";".join(entry.spread.over)
    return "seed" if entry.interval and entry.interval.half_width is not None else ""


def _against(test: PairTest | None) -> list[object]:
    """The difference of a row's average from the reference, with p corrected for the rows."""
    return [test.first, test.mean, test.half_width, test.corrected] if test else [None] * 4


def _cell(value: object) -> object:
    """A value as a spreadsheet may read it: no text in it is a formula or a command."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return ";".join(f"{name}={value}" for name, value in pairs)


def json(tables: Sequence[Table]) -> str:
    """JSON with all fields of the tables, and the means and half widths computed from them."""
    content = []
    for table in tables:
        data = msgspec.to_builtins(table)  # quicker than `asdict`
        for name in ("reported", "mixed", "few_images"):  # few tables have them
            if not data[name]:
                del data[name]
        for row, plain in zip(table.rows, data["rows"], strict=True):
            for name in ("validation", "inference", "seen_names"):  # few rows have them
                if not plain[name]:
                    del plain[name]
            for entry, target in zip(row.entries, plain["entries"], strict=True):
                target |= _statistics(entry)
            if row.average:
                plain["average"] |= _statistics(row.average)
        content.append(data)
    # `dumps` itself indents in Python, piece by piece.
    text = msgspec.json.format(dumps({"tables": content}, ensure_ascii=False), indent=1)
    return printable(text, keep="\n") + "\n"


def _statistics(entry: TableCell | Average) -> dict[str, float | None]:
    interval = entry.interval
    return {"mean": entry.mean, "half_width": interval.half_width if interval else None}
