"""Leaderboard pages in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rppbench.leaderboard.tables import Table
from rppbench.reporting import shot_curve
from rppbench.reporting.footnotes import footnotes
from rppbench.reporting.layout import (
    COST_HEADS,
    OTHER_METRICS_CAPTION,
    PUBLISHED_CAPTION,
    Layout,
    caption,
    cost_texts,
    leaderboard_layout,
    other_metrics_layout,
    published_layout,
)
from rppbench.reporting.markdown import cell_text, escape, markdown_table


def page(tables: Sequence[Table]) -> str:
    """One page: a part for each task, and in it a section for each table."""
    lines: list[str] = []
    for task in dict.fromkeys(table.task for table in tables):
        of_task = [table for table in tables if table.task == task]
        lines += [f"# {escape(of_task[0].title)}", ""]
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
    """Caption, table with costs, averages of other metrics, and footnotes."""
    layout = leaderboard_layout(table)
    body = []
    for row, cells in zip(table.rows, layout.body, strict=True):
        body.append([*map(cell_text, cells), *cost_texts(row)])
    heads = [escape(head) for head in (*layout.heads, *COST_HEADS)]
    lines = [escape(caption(table)), "", *markdown_table(heads, body, layout.name_columns), ""]
    other_metrics = other_metrics_layout(table.rows)
    if other_metrics:
        lines += [OTHER_METRICS_CAPTION, "", *_plain_table(other_metrics), ""]
    return [*lines, *(f"- {escape(note)}" for note in footnotes(table))]


def _plain_table(layout: Layout) -> list[str]:
    body = [[*map(cell_text, row)] for row in layout.body]
    return markdown_table([*map(escape, layout.heads)], body, layout.name_columns)
