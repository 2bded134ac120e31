"""Markdown: the leaderboard page, and the syntax that all pages use (tables, escaping)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rppbench.files.printable import one_line
from rppbench.leaderboard.number_format import DECIMALS, p_value_text, signed_text
from rppbench.leaderboard.tables import Table
from rppbench.records import stand_in
from rppbench.reporting import shot_curve
from rppbench.reporting.footnotes import footnotes
from rppbench.reporting.layout import (
    OTHER_METRICS_CAPTION,
    PUBLISHED_CAPTION,
    CellText,
    Layout,
    against_caption,
    against_layout,
    caption,
    cost_columns,
    leaderboard_layout,
    other_metrics_layout,
    published_layout,
)
from rppbench.stats.ranks import LEVEL

if TYPE_CHECKING:  # numpy takes as long to import as a page takes to print
    from rppbench.stats.two_level import Difference


def markdown_table(heads: Sequence[str], body: Iterable[Sequence[str]], left: int) -> list[str]:
    """The lines of a table of escaped texts; all but the first `left` columns align right."""
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    return ["| " + " | ".join(cells) + " |" for cells in (heads, rule, *body)]


def interval_text(difference: Difference, digits: int = DECIMALS) -> str:
    """'-1.2 to +3.4'"""
    return f"{signed_text(difference.low, digits)} to {signed_text(difference.high, digits)}"


def difference_cells(difference: Difference, p: float, digits: int = DECIMALS) -> list[str]:
    """Three cells: mean difference, bold if p < 0.05; its interval; `p`, corrected or not."""
    mean = signed_text(difference.mean, digits)
    return [
        f"**{mean}**" if p < LEVEL else mean,
        interval_text(difference, digits),
        p_value_text(p),
    ]


def cell_text(cell: CellText) -> str:
    """A cell of a layout as escaped Markdown: '**62.0** ± 5.0 (2/3)'."""
    text = escape(cell.text)
    return " ".join(
        [
            f"**{text}**" if cell.emphasised else text,
            *([f"± {cell.spread}"] if cell.spread else []),
            *([cell.mark] if cell.mark else []),
        ]
    )


def escape(text: str) -> str:
    """The text on one line, escaped so that it cannot break a table or start markup."""
    text = one_line(text)
    for character in "\\|<*`[":
        text = text.replace(character, "&lt;" if character == "<" else f"\\{character}")
    return text


def stand_in_note(tables: Iterable[Table]) -> list[str]:
    """The warning of a page whose tables come from the embedded world, and an empty line."""
    if not any(table.stand_in for table in tables):
        return []
    return [f"> **{stand_in.HEADING}** {escape(stand_in.WARNING)}", ""]


def page(tables: Sequence[Table]) -> str:
    """One page: a part for each task, and in it a section for each table."""
    lines: list[str] = []
    for task in dict.fromkeys(table.task for table in tables):
        of_task = [table for table in tables if table.task == task]
        lines += [f"# {escape(of_task[0].title)}", "", *stand_in_note(of_task)]
        if len(of_task) > 1 and not shot_curve.differ_in_shots_only(of_task):
            lines += [
                f"> **Warning:** the {len(of_task)} tables of this page were measured under "
                "different conditions; do not compare numbers across them.",
                "",
            ]
        for curve in shot_curve.shot_curves(of_task):
            apart = f" ({escape(curve.differences)})" if curve.differences else ""
            lines += [f"## By shots{apart}", "", shot_curve.CAPTION, ""]
            lines += [*_plain_table(curve.layout), ""]
        for table in of_task:
            if table.differences:
                pairs = (f"{name}: {escape(value)}" for name, value in table.differences)
                lines += ["## " + ", ".join(pairs), ""]
            if table.mixed:
                lines += [
                    f"> **Mixed:** rows of this table differ in {escape(', '.join(table.mixed))}. "
                    "Neither its bold numbers, averages nor ranks are a comparison of methods.",
                    "",
                ]
            lines += [*_leaderboard(table), ""]
            if table.reported:
                lines += [f"**Against published numbers** {PUBLISHED_CAPTION}", ""]
                lines += [*_plain_table(published_layout(table.reported)), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _leaderboard(table: Table) -> list[str]:
    """Caption, table with costs, differences from the reference, other metrics, footnotes."""
    layout = leaderboard_layout(table)
    body, costs = [], cost_columns(table.rows)
    for row, cells in zip(table.rows, layout.body, strict=True):
        body.append([*map(cell_text, cells), *(column.text(row) for column in costs)])
    heads = [escape(head) for head in (*layout.heads, *(column.head for column in costs))]
    lines = [escape(caption(table)), "", *markdown_table(heads, body, layout.name_columns), ""]
    against = against_layout(table)
    if against:
        lines += [escape(against_caption(table)), "", *_plain_table(against), ""]
    other_metrics = other_metrics_layout(table.rows)
    if other_metrics:
        lines += [OTHER_METRICS_CAPTION, "", *_plain_table(other_metrics), ""]
    return [*lines, *(f"- {escape(note)}" for note in footnotes(table))]


def _plain_table(layout: Layout) -> list[str]:
    body = [[*map(cell_text, row)] for row in layout.body]
    return markdown_table([*map(escape, layout.heads)], body, layout.name_columns)
