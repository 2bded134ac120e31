"""Layouts and captions of tables as plain text, shared by Markdown, LaTeX and HTML.

A layout has the heads of a table and the text of its cells, not yet escaped for any format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rppbench.leaderboard.number_format import DECIMALS, FAILURE_TEXTS, duration_text, unit
from rppbench.leaderboard.tables import Average, PublishedMatch, Row, Table, TableCell
from rppbench.stats.intervals import Interval

NO_NUMBER = "–"
"""Text of a cell without a number."""
COST_HEADS = ("Parameters", "Train time")
"""Heads of the columns that `cost_texts` fills."""
OTHER_METRICS_CAPTION = "On average over the data sets:"
PUBLISHED_CAPTION = (
    "for the same backbone, recipe, shots and data set. Measured numbers are those of the table; "
    "the difference is measured minus published. Precision may differ."
)
KIND_TEXTS = {"original": "its authors", "re-implemented": "others (re-implemented)"}
"""Who measured a published number, by `PublishedMatch.kind`."""


@dataclass(frozen=True)
class CellText:
    """Text of a cell: 'text ± spread mark'."""

    text: str
    emphasised: bool = False
    """For the best number of a column, and for a published number outside the interval."""
    spread: str = ""
    """Half width of the interval, without '±'; '' without an interval."""
    mark: str = ""
    """'(2/3)' where values are missing."""


@dataclass(frozen=True)
class Layout:
    """Heads and cells of a table, without the columns of costs."""

    heads: tuple[str, ...]
    name_columns: int
    """Number of columns on the left that hold names; all others hold numbers."""
    body: tuple[tuple[CellText, ...], ...]


def leaderboard_layout(table: Table) -> Layout:
    """Columns: method, source if sources differ, validation images if values were chosen on any,
    numbers, average, rank if there is one, seeds."""
    several = len(training_sources(table)) > 1
    names = ("Method", *(["Trained on"] if several else []))
    names += ("Validation",) if table.chooses else ()
    heads = [*names, *(table.heading(column) for column in table.columns)]
    heads += [] if table.by_metric else [f"Average of {len(table.datasets)}"]
    heads += ["Rank"] if table.ranking else []
    body = []
    for row in table.rows:
        cells = [CellText(row.label)]
        cells += [CellText(row.learned_on or NO_NUMBER)] if several else []
        cells += [CellText(row.validation or NO_NUMBER)] if table.chooses else []
        cells += [_entry_text(entry) for entry in row.entries]
        cells += [average_text(row.average)] if row.average else []
        if table.ranking:
            rank = row.rank
            cells.append(CellText(f"{rank.mean:.1f} {rank.groups}" if rank else NO_NUMBER))
        body.append((*cells, CellText(str(len(row.seeds)))))
    return Layout((*heads, "Seeds"), len(names), tuple(body))


def cost_texts(row: Row | None) -> list[str]:
    """Trained parameters and training time of a row, under `COST_HEADS`."""
    parameters, seconds = (row.parameters, row.train_seconds) if row else (None, None)
    return [
        NO_NUMBER if parameters is None else f"{parameters:,}",
        NO_NUMBER if seconds is None else duration_text(seconds),
    ]


def training_sources(table: Table) -> list[str]:
    """Source and shots of the rows ('ImageNet, 16 shots'), each once, sorted."""
    return sorted({row.learned_on for row in table.rows if row.learned_on})


def conditions(table: Table, learned: bool) -> list[str]:
    """Conditions of all numbers as phrases: metric, backbone, test images, source, seeds.

    The source is left out unless `learned`, and where rows have different ones.
    """
    setting = dict(table.setting)
    metric = (
        f"{table.columns[0].dataset_title}, in percent"
        if table.by_metric and len(table.columns) > 1
        else f"{table.metric} in {unit(table.metric)}"
    )
    sources = training_sources(table)
    seeds = sorted({seed for row in table.rows for seed in row.seeds if not row.deterministic})
    images = setting["test images"]
    return [
        f"Measured: {metric}",
        f"backbone {setting['backbone']}"
        + ("" if setting["precision"] == "unknown" else f" in {setting['precision']}"),
        *([f"{images} test images per data set"] if images != "all" else []),
        *([f"trained on {sources[0]} per class"] if learned and len(sources) == 1 else []),
        *([f"seeds {', '.join(map(str, seeds))}"] if seeds else []),
    ]


def caption(table: Table) -> str:
    """The caption of a leaderboard: conditions, and what mean and spread are."""
    spread = "mean ± half width of the 95 % t-interval, n = seeds."
    return "; ".join([*conditions(table, learned=True), spread])


def _entry_text(entry: TableCell) -> CellText:
    if entry.printed is None:
        kinds = dict.fromkeys(
            FAILURE_TEXTS.get(missing.kind, "failed") for missing in entry.missing
        )
        return CellText(", ".join(kinds) or NO_NUMBER)
    mark = "" if entry.is_complete else f"({len(entry.values)}/{entry.expected})"
    return CellText(entry.printed, entry.best, _spread(entry.interval, entry.decimals), mark)


def average_text(average: Average) -> CellText:
    """An average with its spread, marked if values are missing."""
    mark = "" if average.is_complete else f"({average.complete}/{average.expected})"
    if average.printed is None:
        return CellText(NO_NUMBER, mark=mark)
    return CellText(
        average.printed, average.best, _spread(average.interval, average.decimals), mark
    )


def headline_text(row: Row) -> CellText:
    """The row's average; for a single data set its first number."""
    return average_text(row.average) if row.average else _entry_text(row.entries[0])


def _spread(spread: Interval | None, decimals: int) -> str:
    if spread is None or spread.half_width is None:
        return ""
    return f"{spread.half_width:.{decimals}f}"


def other_metrics_layout(rows: Sequence[Row]) -> Layout | None:
    """Averages over the data sets of all other metrics; None without other metrics."""
    names = tuple(dict.fromkeys(name for row in rows for name, _ in row.others))
    if not names:
        return None
    body = []
    for row in rows:
        averages = {name: average for name, average in row.others if average.mean is not None}
        texts = [
            average_text(averages[name]) if name in averages else CellText(NO_NUMBER)
            for name in names
        ]
        body.append((CellText(row.label), *texts))
    return Layout(("Method", *names), 1, tuple(body))


def published_layout(matches: Sequence[PublishedMatch]) -> Layout:
    """Measured beside published numbers: a row for each published number, none merged."""
    heads = ("Method", "Data set", "Metric", "Measured by", "Published in", "Measured", "Published")
    body = tuple(
        (
            *map(CellText, (m.row, m.what, m.metric, KIND_TEXTS[m.kind], m.source)),
            _measured_text(m),
            CellText(m.printed),
            CellText(f"{m.difference:+.{DECIMALS}f}"),
            CellText(NO_NUMBER) if m.inside is None else _inside_text(m.inside),
        )
        for m in matches
    )
    return Layout((*heads, "Difference", "In the interval"), 5, body)


def _inside_text(inside: bool) -> CellText:
    return CellText("yes") if inside else CellText("no", emphasised=True)


def _measured_text(match: PublishedMatch) -> CellText:
    measured = match.measured
    spread = "" if measured.half_width is None else f"{measured.half_width:.{DECIMALS}f}"
    mark = "" if measured.n == match.expected else f"({measured.n}/{match.expected})"
    return CellText(f"{measured.mean:.{DECIMALS}f}", False, spread, mark)
