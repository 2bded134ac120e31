"""Tables as Markdown pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rppbench.layout import NOTHING, Shown, layout, mean_of, measured
from rppbench.ranks import LEVEL, Ranking
from rppbench.tables import DECIMALS, KINDS, Entry, Reported, Row, Table, duration, probability

if TYPE_CHECKING:  # numpy takes as long as a whole page
    from rppbench.paired import Difference


def page(tables: Sequence[Table]) -> str:
    """One page: a part for each task, and in it a part for each table."""
    lines: list[str] = []
    for task in dict.fromkeys(table.task for table in tables):
        parts = [table for table in tables if table.task == task]
        lines += [f"# {safe(parts[0].title)}", ""]
        if len(parts) > 1:
            lines += [
                f"> **Warning:** the {len(parts)} tables of this page were measured under "
                "different conditions; do not compare numbers across them.",
                "",
            ]
        for table in parts:
            if table.differences:
                lines += ["## " + ", ".join(f"{n}: {safe(v)}" for n, v in table.differences), ""]
            if table.mixed:
                lines += [
                    f"> **Mixed:** rows of this table differ in {safe(', '.join(table.mixed))}. "
                    "Neither its bold numbers, averages nor ranks are a comparison of methods.",
                    "",
                ]
            lines += [*_part(table), ""]
            if table.reported:
                lines += [*_published(table.reported), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _part(table: Table) -> list[str]:
    shape = layout(table)
    body = []
    for row, cells in zip(table.rows, shape.body, strict=True):
        parameters = NOTHING if row.parameters is None else f"{row.parameters:,}"
        time = NOTHING if row.train_seconds is None else duration(row.train_seconds)
        body.append([*map(cell, cells), parameters, time])
    heads = [safe(head) for head in (*shape.heads, "Parameters", "Train time")]
    text = [safe(measured(table)), "", *grid(heads, body, shape.names), ""]
    return [*text, *_others(table.rows), *_notes(table)]


def _others(rows: Sequence[Row]) -> list[str]:
    """What else was measured, on average over the data sets."""
    names = dict.fromkeys(name for row in rows for name, _ in row.others)
    if not names:
        return []
    body = []
    for row in rows:
        found = dict(row.others)
        known = {name for name, average in found.items() if average.mean is not None}
        shown = [cell(mean_of(found[name])) if name in known else NOTHING for name in names]
        body.append([safe(row.label), *shown])
    return ["On average over the data sets:", "", *grid(["Method", *names], body, 1), ""]


def cell(shown: Shown) -> str:
    """As one safe text."""
    text = safe(shown.text)
    return " ".join(
        [
            f"**{text}**" if shown.best else text,
            *([f"± {shown.spread}"] if shown.spread else []),
            *([shown.mark] if shown.mark else []),
        ]
    )


def grid(heads: Sequence[str], body: Iterable[Sequence[str]], left: int) -> list[str]:
    """A table of safe texts, the first `left` columns aligned to the left."""
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    return ["| " + " | ".join(cells) + " |" for cells in (heads, rule, *body)]


def difference(found: Difference, p: float) -> list[str]:
    """Difference, bold where it is significant; its interval; p, which may be a corrected one."""
    shown = f"{found.mean:+.1f}"
    return [
        f"**{shown}**" if p < LEVEL else shown,
        f"{found.low:+.1f} to {found.high:+.1f}",
        probability(p),
    ]


def _published(lines: Sequence[Reported]) -> list[str]:
    """What was measured beside what papers print; a line for each source, none merged."""
    heads = ["Method", "Data set", "Metric", "By", "Published in", "Measured", "Published"]
    heads += ["Difference", "Inside the interval"]
    body = [
        [
            *map(safe, (line.row, line.what, line.metric, BY[line.kind], line.source)),
            _with_spread(line),
            line.printed,
            f"{line.difference:+.{DECIMALS}f}",
            NOTHING if line.inside is None else "yes" if line.inside else "**no**",
        ]
        for line in lines
    ]
    return [
        "**Against published numbers** of the same backbone, recipe, shots and data set; measured "
        "as in the table, difference = measured - published. Precision may differ.",
        "",
        *grid(heads, body, 5),
    ]


BY = {"original": "its authors", "re-implemented": "others (re-implemented)"}


def _with_spread(line: Reported) -> str:
    found = line.measured
    spread = "" if found.half_width is None else f" ± {found.half_width:.{DECIMALS}f}"
    mark = "" if found.n == line.expected else f" ({found.n}/{line.expected})"
    return f"{found.mean:.{DECIMALS}f}{spread}{mark}"


def _notes(table: Table) -> list[str]:
    notes = []
    if any(not row.average.whole for row in table.rows if row.average):
        notes.append(
            "An average marked (n/m) is over the data sets that have a number; only n of m have "
            "all seeds. It is not comparable with a complete one and never marked as best."
        )
    if table.ranking:
        notes.append(_ranking(table.ranking))
    for row in table.rows:
        gaps: dict[str, list[str]] = {}
        for column, entry in zip(table.columns, row.entries, strict=True):
            if not entry.whole:
                gaps.setdefault(_reason(entry), []).append(safe(table.heading(column)))
        if gaps:
            told = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in gaps.items())
            notes.append(f"{safe(row.label)} is incomplete: {told}.")
    still = [safe(row.label) for row in table.rows if row.deterministic]
    if still:
        notes.append(f"Deterministic, so n = 1 and no interval: {', '.join(still)}.")
    recipes = [f"{safe(row.label)}: {safe(row.recipe)}" for row in table.rows if row.recipe]
    if recipes:
        notes.append(f"Recipes: {'; '.join(recipes)}.")
    if table.devices and any(row.train_seconds is not None for row in table.rows):
        notes.append(f"Train time is that of one training, on {safe(', '.join(table.devices))}.")
    return [f"- {note}" for note in notes]


def _ranking(ranking: Ranking) -> str:
    p = probability(ranking.p)
    told = (
        f"(Nemenyi's test: they differ by less than {ranking.critical:.2f}; Friedman's p: {p})."
        if ranking.p < LEVEL
        else f"(Friedman's test finds no difference among them, p: {p})."
    )
    return (
        f"Rank is the mean over the {ranking.datasets} data sets, 1 being best, of the complete "
        f"rows. Rows that share a letter cannot be told apart by their ranks {told}"
    )


def _reason(entry: Entry) -> str:
    if not entry.missing:
        return f"{len(entry.values)} of {entry.expected} seeds were run"
    reasons = []
    for missing in entry.missing:
        first = (missing.message.splitlines() or [""])[0][:160]
        kind = KINDS.get(missing.kind, f"failed, {missing.kind}")
        reasons.append(f"{kind}: {safe(first)}")
    shared = "; ".join(dict.fromkeys(reasons))
    seeds = ", ".join(str(missing.seed) for missing in entry.missing)
    return f"seed {seeds}: {shared}"


def safe(text: str) -> str:
    """Text that cannot break a Markdown table or start markup."""
    text = " ".join(text.split())
    for sign in "\\|<*`[":
        text = text.replace(sign, "&lt;" if sign == "<" else f"\\{sign}")
    return text
