"""Markdown syntax: tables, escaping, cells, differences with intervals and p-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rppbench.leaderboard.number_format import DECIMALS, p_value_text
from rppbench.reporting.layout import CellText
from rppbench.stats.ranks import LEVEL

if TYPE_CHECKING:  # numpy takes as long to import as a page takes to print
    from rppbench.stats.bootstrap import Difference


def markdown_table(heads: Sequence[str], body: Iterable[Sequence[str]], left: int) -> list[str]:
    """The lines of a table of escaped texts; all but the first `left` columns align right."""
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    return ["| " + " | ".join(cells) + " |" for cells in (heads, rule, *body)]


def difference_cells(difference: Difference, p: float, digits: int = DECIMALS) -> list[str]:
    """Three cells: mean difference, bold if p < 0.05; its interval; `p`, corrected or not."""
    mean = f"{difference.mean:+.{digits}f}"
    return [
        f"**{mean}**" if p < LEVEL else mean,
        f"{difference.low:+.{digits}f} to {difference.high:+.{digits}f}",
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
    text = " ".join(text.split())
    for character in "\\|<*`[":
        text = text.replace(character, "&lt;" if character == "<" else f"\\{character}")
    return text
