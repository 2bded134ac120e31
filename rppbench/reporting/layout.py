"""Layouts and captions of tables as plain text, shared by Markdown, LaTeX and HTML.

A layout has the heads of a table and the text of its cells, not yet escaped for any format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rppbench.leaderboard.number_format import (
    DECIMALS,
    FAILURE_TEXTS,
    decimals,
    duration_text,
    large_text,
    p_value_text,
    signed_text,
    unit,
)
from rppbench.leaderboard.tables import Average, PublishedMatch, Row, Table, TableCell
from rppbench.records.cell import MARKS
from rppbench.stats.intervals import Interval
from rppbench.stats.ranks import LEVEL

NO_NUMBER = "–"
"""Text of a cell without a number."""
OTHER_METRICS_CAPTION = "On average over the data sets (± is over seeds alone):"
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
    numbers, average, average without the data set that dominates, rank if there is one, seeds."""
    several = len(training_sources(table)) > 1
    names = ("Method", *(["Trained on"] if several else []))
    names += ("Validation",) if table.chooses else ()
    heads = [*names, *(table.heading(column) for column in table.columns)]
    heads += [] if table.by_metric else [f"Average of {len(table.datasets)}"]
    heads += [f"Without {table.dominating}"] if table.dominating else []
    heads += ["Rank"] if table.ranking else []
    body = []
    for row in table.rows:
        cells = [CellText(row.label)]
        cells += [CellText(row.learned_on or NO_NUMBER)] if several else []
        cells += [CellText(row.validation or NO_NUMBER)] if table.chooses else []
        cells += [entry_text(entry) for entry in row.entries]
        cells += [average_text(row.average)] if row.average else []
        if table.dominating:
            number = NO_NUMBER if row.without is None else f"{row.without:.{_digits(row)}f}"
            cells.append(CellText(number))
        if table.ranking:
            rank = row.rank
            cells.append(CellText(f"{rank.mean:.1f} {rank.groups}" if rank else NO_NUMBER))
        body.append((*cells, CellText(str(len(row.seeds)))))
    return Layout((*heads, "Seeds"), len(names), tuple(body))


def _digits(row: Row) -> int:
    return row.average.decimals if row.average else DECIMALS


@dataclass(frozen=True)
class CostColumn:
    """A column to the right of the numbers, of one value for each row."""

    head: str
    value: Callable[[Row], float | None]
    """What the row is sorted by; None without a number."""
    spell: Callable[[Row], str]
    """Its text where it has a number."""
    always: bool = False
    """Whether it has its place even where no row has a number."""
    more_is_better: bool = False

    def text(self, row: Row | None) -> str:
        """The row's value as printed."""
        return NO_NUMBER if row is None or self.value(row) is None else self.spell(row)


def _seen(row: Row) -> float | None:
    """Share of the class names that were learned on another data set."""
    total = sum(all_names for _, _, all_names in row.seen_names)
    return sum(seen for _, seen, _ in row.seen_names) / total if total else None


def _seen_text(row: Row) -> str:
    seen, total = (sum(counts) for counts in list(zip(*row.seen_names, strict=True))[1:])
    return f"{seen}/{total}"


def _of_inference(head: str, name: str, more_is_better: bool = False) -> CostColumn:
    """A column of a field of `Inference`."""

    def value(row: Row) -> float | None:
        return getattr(row.inference, name, None)

    return CostColumn(
        head, value, lambda row: large_text(value(row) or 0.0), more_is_better=more_is_better
    )


COST_COLUMNS = (
    CostColumn(
        "Parameters", lambda row: row.parameters, lambda row: f"{row.parameters:,}", always=True
    ),
    CostColumn(
        "Train time",
        lambda row: row.train_seconds,
        lambda row: duration_text(row.train_seconds or 0.0),
        always=True,
    ),
    _of_inference("FLOPs an image", "flops_per_image"),
    _of_inference("FLOPs a class set", "flops_per_class_set"),
    _of_inference("Images a second", "images_per_second", more_is_better=True),
    CostColumn("Seen names", _seen, _seen_text),
)


def cost_columns(rows: Iterable[Row | None]) -> list[CostColumn]:
    """The columns to the right of the numbers: most only where some row has one."""
    known = [row for row in rows if row is not None]
    return [
        column
        for column in COST_COLUMNS
        if column.always or any(column.value(row) is not None for row in known)
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
        *(text for mark, text in MARKS.items() if mark in table.setting),
        *([f"trained on {sources[0]} per class"] if learned and len(sources) == 1 else []),
        *([f"seeds {', '.join(map(str, seeds))}"] if seeds else []),
    ]


def caption(table: Table) -> str:
    """The caption of a leaderboard: conditions, and what mean and spread are."""
    return "; ".join([*conditions(table, learned=True), f"{_spread_caption(table)}."])


def plural(units: Sequence[str]) -> str:
    """'drawings', 'images and drawings'."""
    return " and ".join(f"{unit}s" for unit in units)


def _spread_caption(table: Table) -> str:
    """What ± holds: seeds, images (or their groups), or both."""
    if not table.units:
        return "mean ± half width of the 95 % t-interval over seeds alone"
    images = plural(table.units)
    single = any(len(entry.values) == 1 for row in table.rows for entry in row.entries)
    if all(len(row.seeds) == 1 for row in table.rows):
        return f"± half width of the 95 % interval over test {images}, for these prompts alone"
    text = f"mean ± half width of the 95 % interval over seeds and test {images}"
    text += f" (of numbers of one seed, over test {images} alone)" if single else ""
    entries = [entry for row in table.rows for entry in row.entries if entry.spread]
    alone = any(entry.spread and entry.spread.over == ("seed",) for entry in entries)
    return text + ("; of metrics that single images do not have, over seeds alone" if alone else "")


def entry_text(entry: TableCell) -> CellText:
    """A number with its spread, marked if values are missing; else why there is none."""
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
    return average_text(row.average) if row.average else entry_text(row.entries[0])


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


def against_layout(table: Table) -> Layout | None:
    """The difference of each row from the table's reference; None without a reference."""
    tests = [(row.label, row.against) for row in table.rows if row.against]
    if not table.reference or not tests:
        return None
    digits = decimals(table.metric)
    body = tuple(
        (
            CellText(label),
            CellText(signed_text(test.mean, digits), emphasised=test.corrected < LEVEL),
            CellText(
                f"{signed_text(test.mean - test.half_width, digits)} to "
                f"{signed_text(test.mean + test.half_width, digits)}"
            ),
            CellText(p_value_text(test.corrected)),
        )
        for label, test in tests
    )
    return Layout(("Method", "Difference", "95 % interval", "p"), 1, body)


def against_caption(table: Table) -> str:
    """The caption of `against_layout`."""
    count = sum(row.against is not None for row in table.rows)
    what = table.columns[0].metric if table.by_metric else "average"
    paired = "paired by image and seed" if table.units else "paired by seed"
    corrected = f", p corrected for the {count} rows (Holm), intervals not" if count > 1 else ""
    how = f"difference of the {what}, {paired}{corrected}; bold: p < {LEVEL}"
    single = [row.label for row in table.rows if row.against and row.against.seeds == 1]
    alone = f"; of rows with one seed, over test {plural(table.units)} alone" if single else ""
    return f"Against {table.reference}: {how}{alone if table.units else ''}."


def published_layout(matches: Sequence[PublishedMatch]) -> Layout:
    """Measured beside published numbers: a row for each published number, none merged."""
    heads = ("Method", "Data set", "Metric", "Measured by", "Published in", "Measured", "Published")
    body = tuple(
        (
            *map(CellText, (m.row, m.what, m.metric, KIND_TEXTS[m.kind], m.source)),
            _measured_text(m),
            CellText(m.printed),
            CellText(signed_text(m.difference)),
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
