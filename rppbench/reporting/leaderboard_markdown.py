"""Tables as Markdown pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rppbench.leaderboard.tables import Table
from rppbench.reporting import shot_curve
from rppbench.reporting.footnotes import notes
from rppbench.reporting.layout import (
    COSTS,
    OTHERS,
    PUBLISHED,
    Layout,
    Shown,
    costs,
    layout,
    measured,
    others,
    published,
)
from rppbench.reporting.markdown import grid, safe

if TYPE_CHECKING:  # numpy takes as long as a whole page
    pass


def page(tables: Sequence[Table]) -> str:
    """One page: a part for each task, and in it a part for each table."""
    lines: list[str] = []
    for task in dict.fromkeys(table.task for table in tables):
        parts = [table for table in tables if table.task == task]
        lines += [f"# {safe(parts[0].title)}", ""]
        if len(parts) > 1 and not shot_curve.alone(parts):
            lines += [
                f"> **Warning:** the {len(parts)} tables of this page were measured under "
                "different conditions; do not compare numbers across them.",
                "",
            ]
        for found in shot_curve.across(parts):
            apart = f" ({safe(found.differences)})" if found.differences else ""
            lines += [f"## By shots{apart}", "", shot_curve.TOLD, "", *_plain(found.layout), ""]
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
                told = f"**Against published numbers** {PUBLISHED}"
                lines += [told, "", *_plain(published(table.reported)), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _part(table: Table) -> list[str]:
    shape = layout(table)
    body = []
    for row, cells in zip(table.rows, shape.body, strict=True):
        body.append([*map(cell, cells), *costs(row)])
    heads = [safe(head) for head in (*shape.heads, *COSTS)]
    lines = [safe(measured(table)), "", *grid(heads, body, shape.names), ""]
    also = others(table.rows)
    lines += [OTHERS, "", *_plain(also), ""] if also else []
    return [*lines, *(f"- {safe(note)}" for note in notes(table))]


def _plain(shape: Layout) -> list[str]:
    return grid([*map(safe, shape.heads)], [[*map(cell, row)] for row in shape.body], shape.names)


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
