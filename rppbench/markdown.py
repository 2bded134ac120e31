"""Tables as Markdown pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rppbench import shots
from rppbench.beside import OTHERS, PUBLISHED, others, published
from rppbench.layout import COSTS, Layout, Shown, costs, layout, measured
from rppbench.leaderboard.tables import DECIMALS, Table, probability
from rppbench.notes import notes
from rppbench.stats.ranks import LEVEL

if TYPE_CHECKING:  # numpy takes as long as a whole page
    from rppbench.stats.bootstrap import Difference


def page(tables: Sequence[Table]) -> str:
    """One page: a part for each task, and in it a part for each table."""
    lines: list[str] = []
    for task in dict.fromkeys(table.task for table in tables):
        parts = [table for table in tables if table.task == task]
        lines += [f"# {safe(parts[0].title)}", ""]
        if len(parts) > 1 and not shots.alone(parts):
            lines += [
                f"> **Warning:** the {len(parts)} tables of this page were measured under "
                "different conditions; do not compare numbers across them.",
                "",
            ]
        for found in shots.across(parts):
            apart = f" ({safe(found.differences)})" if found.differences else ""
            lines += [f"## By shots{apart}", "", shots.TOLD, "", *_plain(found.layout), ""]
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


def grid(heads: Sequence[str], body: Iterable[Sequence[str]], left: int) -> list[str]:
    """A table of safe texts, the first `left` columns aligned to the left."""
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    return ["| " + " | ".join(cells) + " |" for cells in (heads, rule, *body)]


def difference(found: Difference, p: float, digits: int = DECIMALS) -> list[str]:
    """Difference, bold where it is significant; its interval; p, which may be a corrected one."""
    shown = f"{found.mean:+.{digits}f}"
    return [
        f"**{shown}**" if p < LEVEL else shown,
        f"{found.low:+.{digits}f} to {found.high:+.{digits}f}",
        probability(p),
    ]


def safe(text: str) -> str:
    """Text that cannot break a Markdown table or start markup."""
    text = " ".join(text.split())
    for sign in "\\|<*`[":
        text = text.replace(sign, "&lt;" if sign == "<" else f"\\{sign}")
    return text
