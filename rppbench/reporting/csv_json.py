"""Tables as CSV and JSON, with all digits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from csv import writer
from dataclasses import asdict
from io import StringIO
from json import dumps

from rppbench.leaderboard.tables import Average, Table, TableCell

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
    "seeds_done",
    "seeds_expected",
    "best",
    "failures",
    "rank",
    "rank_groups",
    "parameters",
    "train_seconds",
    "published",
)


def csv(tables: Sequence[Table]) -> str:
    """Long form: one line for each row and column of each table, with all digits.

    Below them one for each published number of the same; it says whose in `published`, and `mean`
    is what is printed there.
    """
    text = StringIO()
    lines = writer(text, lineterminator="\n")
    lines.writerow(HEADS)
    for number, table in enumerate(tables, 1):
        for row in table.rows:
            for column, entry in zip(table.columns, row.entries, strict=True):
                lines.writerow(
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
                        len(entry.values),
                        entry.expected,
                        int(entry.best),
                        ";".join(f"seed {m.seed}: {m.kind}" for m in entry.missing),
                        row.rank.mean if row.rank else None,
                        row.rank.groups if row.rank else None,
                        row.parameters,
                        row.train_seconds,
                        "",
                    ]
                )
        for line in table.reported:
            told = {
                "task": table.task,
                "table": number,
                "differences": _pairs(table.differences),
                "row": line.row,
                "dataset": line.what,
                "metric": line.metric,
                "mean": line.printed,
                "published": f"{line.kind}: {line.source}",
            }
            lines.writerow([told.get(head) for head in HEADS])
    return text.getvalue()


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    return ";".join(f"{name}={value}" for name, value in facts)


def json(tables: Sequence[Table]) -> str:
    """The tables as they are, with means and intervals worked out."""
    content = []
    for table in tables:
        data = asdict(table)
        for name in ("reported", "mixed"):  # of few tables
            if not data[name]:
                del data[name]
        for row, plain in zip(table.rows, data["rows"], strict=True):
            for shown, target in zip(row.entries, plain["entries"], strict=True):
                target |= _worked_out(shown)
            if row.average:
                plain["average"] |= _worked_out(row.average)
        content.append(data)
    return dumps({"tables": content}, indent=1, ensure_ascii=False) + "\n"


def _worked_out(shown: TableCell | Average) -> dict[str, float | None]:
    spread = shown.interval
    return {"mean": shown.mean, "half_width": spread.half_width if spread else None}
