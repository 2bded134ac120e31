"""Markdown: tables, escaped text, differences with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rppbench.leaderboard.tables import DECIMALS, probability
from rppbench.stats.ranks import LEVEL

if TYPE_CHECKING:
    from rppbench.stats.bootstrap import Difference


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
