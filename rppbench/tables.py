"""Tables as plain data, and as Markdown, CSV and JSON text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from csv import writer
from dataclasses import asdict, dataclass
from functools import cached_property
from io import StringIO
from json import dumps
from statistics import fmean

from rppbench.stats import Interval, interval

Facts = tuple[tuple[str, str], ...]
DECIMALS = 1
"""Of printed percentages. CSV and JSON keep all digits."""
KINDS = {"missing-data": "no data", "oom": "oom", "nan": "nan"}
"""How a table spells kinds of failure; any other is 'failed'."""


@dataclass(frozen=True)
class Column:
    """One data set, or one metric of the only data set."""

    dataset: str
    dataset_title: str
    metric: str


@dataclass(frozen=True)
class Missing:
    """A seed without a number, and why."""

    seed: int
    kind: str
    message: str


@dataclass(frozen=True)
class Entry:
    """A method on one column."""

    values: tuple[tuple[int, float], ...]
    """(seed, value)"""
    expected: int
    """Number of seeds that the row has anywhere."""
    missing: tuple[Missing, ...] = ()
    best: bool = False

    @cached_property
    def interval(self) -> Interval | None:
        return interval([value for _, value in self.values]) if self.values else None

    @property
    def mean(self) -> float | None:
        return self.interval.mean if self.interval else None

    @property
    def whole(self) -> bool:
        """True when no seed is missing."""
        return len(self.values) == self.expected

    @property
    def printed(self) -> str | None:
        return None if self.mean is None else f"{self.mean:.{DECIMALS}f}"


@dataclass(frozen=True)
class Average:
    """A method over all columns."""

    values: tuple[tuple[int, float], ...]
    """(seed, mean over data sets); () unless every data set has every seed."""
    complete: int
    """Data sets with all seeds."""
    expected: int
    """Data sets of the table."""
    partial: float | None = None
    """Mean over what there is, where something is missing."""
    best: bool = False

    @cached_property
    def interval(self) -> Interval | None:
        return interval([value for _, value in self.values]) if self.values else None

    @property
    def mean(self) -> float | None:
        return fmean(value for _, value in self.values) if self.values else self.partial

    @property
    def whole(self) -> bool:
        return self.complete == self.expected

    @property
    def printed(self) -> str | None:
        return None if self.mean is None else f"{self.mean:.{DECIMALS}f}"


@dataclass(frozen=True)
class Row:
    """A method with its options and the way it was learned."""

    label: str
    method: str
    options: Facts
    facts: Facts
    """All that may tell it from another row of the same method."""
    recipe: str
    source: str
    shots: int | None
    teacher: str
    paper: str
    seeds: tuple[int, ...]
    deterministic: bool
    """Learns nothing: one number, without spread."""
    entries: tuple[Entry, ...]
    """One for each column."""
    average: Average | None
    """None where the columns are metrics."""
    parameters: int | None
    train_seconds: float | None
    """Mean over distinct trainings."""

    @property
    def learned_on(self) -> str:
        return f"{self.source}, {self.shots} shots" if self.source else ""


@dataclass(frozen=True)
class Table:
    """Rows whose numbers can be compared within each column."""

    task: str
    title: str
    metric: str
    setting: Facts
    """What all numbers have in common."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    devices: tuple[str, ...]
    differences: Facts = ()
    """The part of the setting in which this table differs from others of its task."""

    @property
    def by_metric(self) -> bool:
        """Columns are metrics, not data sets."""
        return len({column.dataset for column in self.columns}) == 1

    def heading(self, column: Column) -> str:
        return column.metric if self.by_metric else column.dataset_title


# --- Markdown -----------------------------------------------------------------------------------


def markdown(tables: Sequence[Table]) -> str:
    """One page: a part for each task, and in it a part for each table."""
    lines: list[str] = []
    for task in dict.fromkeys(table.task for table in tables):
        parts = [table for table in tables if table.task == task]
        lines += [f"# {_safe(parts[0].title)}", ""]
        if len(parts) > 1:
            lines += [
                f"> **Warning:** the {len(parts)} tables of this page were measured under "
                "different conditions; do not compare numbers across them.",
                "",
            ]
        for table in parts:
            if table.differences:
                lines += ["## " + ", ".join(f"{n}: {_safe(v)}" for n, v in table.differences), ""]
            lines += [*_part(table), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _part(table: Table) -> list[str]:
    learned = sorted({row.learned_on for row in table.rows if row.learned_on})
    heads = ["Method"] + (["Learned on"] if len(learned) > 1 else [])
    left = len(heads)
    heads += [table.heading(column) for column in table.columns]
    if not table.by_metric:
        heads.append("Average")
    heads += ["Seeds", "Parameters", "Train time"]
    body = []
    for row in table.rows:
        cells = [_safe(row.label)] + ([_safe(row.learned_on) or "–"] if len(learned) > 1 else [])
        cells += [_entry(entry) for entry in row.entries]
        if row.average:
            cells.append(_average(row.average))
        cells += [
            str(len(row.seeds)),
            "–" if row.parameters is None else f"{row.parameters:,}",
            "–" if row.train_seconds is None else duration(row.train_seconds),
        ]
        body.append(cells)
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    grid = [[_safe(head) for head in heads], rule, *body]
    table_lines = ["| " + " | ".join(cells) + " |" for cells in grid]
    return [_measured(table, learned), "", *table_lines, "", *_notes(table)]


def _measured(table: Table, learned: Sequence[str]) -> str:
    setting = dict(table.setting)
    what = (
        f"{_safe(table.columns[0].dataset_title)}, in percent"
        if table.by_metric and len(table.columns) > 1
        else f"{table.metric} in percent"
    )
    seeds = sorted({seed for row in table.rows for seed in row.seeds if not row.deterministic})
    images = setting["test images"]
    return "; ".join(
        [
            f"Measured: {what}",
            f"backbone {_safe(setting['backbone'])} in {setting['precision']}",
            *([f"{images} test images a data set"] if images != "all" else []),
            *([f"learned on {_safe(learned[0])} a class"] if len(learned) == 1 else []),
            *([f"seeds {', '.join(map(str, seeds))}"] if seeds else []),
            "mean ± half width of the 95 % t-interval, n = seeds.",
        ]
    )


def _entry(entry: Entry) -> str:
    if entry.printed is None:
        kinds = dict.fromkeys(KINDS.get(missing.kind, "failed") for missing in entry.missing)
        return ", ".join(kinds) or "–"
    text = _number(entry.printed, entry.interval, entry.best)
    return text if entry.whole else f"{text} ({len(entry.values)}/{entry.expected})"


def _average(average: Average) -> str:
    if average.printed is None:
        return f"– (0/{average.expected})"
    text = _number(average.printed, average.interval, average.best)
    return text if average.whole else f"{text} ({average.complete}/{average.expected})"


def _number(printed: str, spread: Interval | None, best: bool) -> str:
    text = f"**{printed}**" if best else printed
    if spread is None or spread.half_width is None:
        return text
    return f"{text} ± {spread.half_width:.{DECIMALS}f}"


def _notes(table: Table) -> list[str]:
    notes = []
    if any(not row.average.whole for row in table.rows if row.average):
        notes.append(
            "An average marked (n/m) is over the data sets that have a number; only n of m have "
            "all seeds. It is not comparable with a complete one and never marked as best."
        )
    for row in table.rows:
        gaps: dict[str, list[str]] = {}
        for column, entry in zip(table.columns, row.entries, strict=True):
            if not entry.whole:
                gaps.setdefault(_reason(entry), []).append(_safe(table.heading(column)))
        if gaps:
            told = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in gaps.items())
            notes.append(f"{_safe(row.label)} is incomplete: {told}.")
    still = [_safe(row.label) for row in table.rows if row.deterministic]
    if still:
        notes.append(f"Deterministic, so n = 1 and no interval: {', '.join(still)}.")
    recipes = [f"{_safe(row.label)}: {_safe(row.recipe)}" for row in table.rows if row.recipe]
    if recipes:
        notes.append(f"Recipes: {'; '.join(recipes)}.")
    if table.devices and any(row.train_seconds is not None for row in table.rows):
        notes.append(f"Train time is that of one training, on {_safe(', '.join(table.devices))}.")
    return [f"- {note}" for note in notes]


def _reason(entry: Entry) -> str:
    if not entry.missing:
        return f"{len(entry.values)} of {entry.expected} seeds were run"
    reasons = []
    for missing in entry.missing:
        first = (missing.message.splitlines() or [""])[0][:160]
        kind = KINDS.get(missing.kind, f"failed, {missing.kind}")
        reasons.append(f"{kind}: {_safe(first)}")
    shared = "; ".join(dict.fromkeys(reasons))
    seeds = ", ".join(str(missing.seed) for missing in entry.missing)
    return f"seed {seeds}: {shared}"


def duration(seconds: float) -> str:
    """Seconds as people say them: '9.5 s', '3 min 05 s', '2 h 10 min'."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _safe(text: str) -> str:
    """Text that cannot break a Markdown table or start markup."""
    text = " ".join(text.split())
    for sign in "\\|<*`[":
        text = text.replace(sign, "&lt;" if sign == "<" else f"\\{sign}")
    return text


# --- CSV and JSON -------------------------------------------------------------------------------

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
    "parameters",
    "train_seconds",
)


def csv(tables: Sequence[Table]) -> str:
    """Long form: one line for each row and column of each table, with all digits."""
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
                        row.parameters,
                        row.train_seconds,
                    ]
                )
    return text.getvalue()


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    return ";".join(f"{name}={value}" for name, value in facts)


def json(tables: Sequence[Table]) -> str:
    """The tables as they are, with means and intervals worked out."""
    content = []
    for table in tables:
        data = asdict(table)
        for row, plain in zip(table.rows, data["rows"], strict=True):
            for shown, target in zip(row.entries, plain["entries"], strict=True):
                target |= _worked_out(shown)
            if row.average:
                plain["average"] |= _worked_out(row.average)
        content.append(data)
    return dumps({"tables": content}, indent=1, ensure_ascii=False) + "\n"


def _worked_out(shown: Entry | Average) -> dict[str, float | None]:
    spread = shown.interval
    return {"mean": shown.mean, "half_width": spread.half_width if spread else None}
