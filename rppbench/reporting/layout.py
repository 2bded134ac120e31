"""What stands in the cells of a table, before it is Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rppbench.leaderboard.tables import (
    DECIMALS,
    KINDS,
    Average,
    Reported,
    Row,
    Table,
    TableCell,
    duration,
    unit,
)
from rppbench.stats.intervals import Interval

NOTHING = "–"
COSTS = ("Parameters", "Train time")


@dataclass(frozen=True)
class Shown:
    """A cell: 'text ± spread mark'."""

    text: str
    best: bool = False
    spread: str = ""
    mark: str = ""
    """'(2/3)' where something is missing."""


@dataclass(frozen=True)
class Layout:
    """Heads and cells of a table, without what the rows cost."""

    heads: tuple[str, ...]
    names: int
    """Columns on the left that hold names."""
    body: tuple[tuple[Shown, ...], ...]


def layout(table: Table) -> Layout:
    """Method, where it learned if that differs, numbers, average, rank if there is one, seeds."""
    several = len(learned_on(table)) > 1
    names = ("Method", "Learned on") if several else ("Method",)
    heads = [*names, *(table.heading(column) for column in table.columns)]
    heads += [] if table.by_metric else ["Average"]
    heads += ["Rank"] if table.ranking else []
    body = []
    for row in table.rows:
        cells = [Shown(row.label)]
        cells += [Shown(row.learned_on or NOTHING)] if several else []
        cells += [_entry(entry) for entry in row.entries]
        cells += [mean_of(row.average)] if row.average else []
        if table.ranking:
            rank = row.rank
            cells.append(Shown(f"{rank.mean:.1f} {rank.groups}" if rank else NOTHING))
        body.append((*cells, Shown(str(len(row.seeds)))))
    return Layout((*heads, "Seeds"), len(names), tuple(body))


def costs(row: Row | None) -> list[str]:
    """What a row takes, under the heads of `COSTS`."""
    parameters, seconds = (row.parameters, row.train_seconds) if row else (None, None)
    return [
        NOTHING if parameters is None else f"{parameters:,}",
        NOTHING if seconds is None else duration(seconds),
    ]


def learned_on(table: Table) -> list[str]:
    """Sources and shots of the rows, each once."""
    return sorted({row.learned_on for row in table.rows if row.learned_on})


def conditions(table: Table, learned: bool) -> list[str]:
    """What was measured and how; with what the methods learned on, if it is one."""
    setting = dict(table.setting)
    what = (
        f"{table.columns[0].dataset_title}, in percent"
        if table.by_metric and len(table.columns) > 1
        else f"{table.metric} in {unit(table.metric)}"
    )
    sources = learned_on(table)
    seeds = sorted({seed for row in table.rows for seed in row.seeds if not row.deterministic})
    images = setting["test images"]
    return [
        f"Measured: {what}",
        f"backbone {setting['backbone']}"
        + ("" if setting["precision"] == "unknown" else f" in {setting['precision']}"),
        *([f"{images} test images a data set"] if images != "all" else []),
        *([f"learned on {sources[0]} a class"] if learned and len(sources) == 1 else []),
        *([f"seeds {', '.join(map(str, seeds))}"] if seeds else []),
    ]


def measured(table: Table) -> str:
    """One sentence on all numbers of the table."""
    how = "mean ± half width of the 95 % t-interval, n = seeds."
    return "; ".join([*conditions(table, learned=True), how])


def _entry(entry: TableCell) -> Shown:
    if entry.printed is None:
        kinds = dict.fromkeys(KINDS.get(missing.kind, "failed") for missing in entry.missing)
        return Shown(", ".join(kinds) or NOTHING)
    mark = "" if entry.whole else f"({len(entry.values)}/{entry.expected})"
    return Shown(entry.printed, entry.best, _spread(entry.interval, entry.decimals), mark)


def mean_of(average: Average) -> Shown:
    """An average with its spread, marked where something is missing."""
    mark = "" if average.whole else f"({average.complete}/{average.expected})"
    if average.printed is None:
        return Shown(NOTHING, mark=mark)
    return Shown(average.printed, average.best, _spread(average.interval, average.decimals), mark)


def whole(row: Row) -> Shown:
    """The average of a row; of a single data set its number."""
    return mean_of(row.average) if row.average else _entry(row.entries[0])


def _spread(spread: Interval | None, decimals: int) -> str:
    if spread is None or spread.half_width is None:
        return ""
    return f"{spread.half_width:.{decimals}f}"


OTHERS = "On average over the data sets:"


PUBLISHED = (
    "of the same backbone, recipe, shots and data set; measured as in the table, "
    "difference = measured - published. Precision may differ."
)


BY = {"original": "its authors", "re-implemented": "others (re-implemented)"}


def others(rows: Sequence[Row]) -> Layout | None:
    """What else was measured, on average over the data sets; None if nothing was."""
    names = tuple(dict.fromkeys(name for row in rows for name, _ in row.others))
    if not names:
        return None
    body = []
    for row in rows:
        found = dict(row.others)
        known = {name for name, average in found.items() if average.mean is not None}
        shown = [mean_of(found[name]) if name in known else Shown(NOTHING) for name in names]
        body.append((Shown(row.label), *shown))
    return Layout(("Method", *names), 1, tuple(body))


def published(lines: Sequence[Reported]) -> Layout:
    """What was measured beside what papers print; a line for each source, none merged."""
    heads = ("Method", "Data set", "Metric", "By", "Published in", "Measured", "Published")
    body = tuple(
        (
            *map(Shown, (line.row, line.what, line.metric, BY[line.kind], line.source)),
            _measured(line),
            Shown(line.printed),
            Shown(f"{line.difference:+.{DECIMALS}f}"),
            Shown(NOTHING) if line.inside is None else _inside(line.inside),
        )
        for line in lines
    )
    return Layout((*heads, "Difference", "Inside the interval"), 5, body)


def _inside(inside: bool) -> Shown:
    return Shown("yes") if inside else Shown("no", best=True)  # what a reader must not miss


def _measured(line: Reported) -> Shown:
    found = line.measured
    spread = "" if found.half_width is None else f"{found.half_width:.{DECIMALS}f}"
    mark = "" if found.n == line.expected else f"({found.n}/{line.expected})"
    return Shown(f"{found.mean:.{DECIMALS}f}", False, spread, mark)
