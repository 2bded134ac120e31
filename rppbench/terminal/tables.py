"""Tables and pages of a command: drawn to fit a terminal, Markdown in a file or a pipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rppbench.reporting.markdown import escape, markdown_table
from rppbench.terminal.console import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

NARROW = 24
"""Columns of a terminal that a text is given at least, if it is as long, before it is folded."""
GAP = 2
"""Blanks after each column."""
MARKS = re.compile(r"\*\*(?P<bold>(?:\\.|[^*\\])+)\*\*|\\(?P<escaped>.)|(?P<less>&lt;)")
"""What `reporting.markdown.escape` and its tables write into a text."""
STYLES = {"#": "bold underline", "##": "bold", ">": "yellow"}
"""Styles of headings and warnings, by the start of their line."""


def print_table(to: Console, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns of texts under their heads."""
    rows = [[*row] for row in rows]
    if to.is_terminal:
        _draw(to, heads, rows, left=len(heads))
    else:  # written without rich, which takes a millisecond for each row
        to.file.writelines(f"{line}\n" for line in _aligned(heads, rows))


def print_page(page: str) -> None:
    """Print a page of Markdown on standard output; a terminal shows what it means.

    A table that is too wide for the terminal is drawn in parts, each with the first column.
    """
    out = console()
    if not out.is_terminal:
        sys.stdout.write(page)
        sys.stdout.flush()
        return
    for is_table, lines in groupby(page.splitlines(), lambda line: line.startswith("| ")):
        if is_table:
            heads, rule, *body = (line[2:-2].split(" | ") for line in lines)
            _draw(out, heads, body, left=rule.count("---"), read=_read)
        else:
            _print_prose(out, lines)


def _print_prose(out: Console, lines: Iterable[str]) -> None:
    for line in lines:
        if line.startswith("- "):
            parts = _read(line[2:]).wrap(out, max(out.width - 2, NARROW))
            for number, part in enumerate(parts):
                out.print("  " if number else "- ", part, sep="")
            continue
        start, _, text = line.partition(" ")
        if start in STYLES:
            out.print(_read(text), style=STYLES[start])
        else:
            out.print(_read(line))


def _read(text: str) -> Text:
    """A text of a Markdown page without its marks, which are styles instead."""
    from rich.text import Text

    shown, at = Text(), 0
    for match in MARKS.finditer(text):
        shown.append(text[at : match.start()])
        at = match.end()
        if bold := match["bold"]:
            shown.append(_read(bold).plain, style="bold")
        else:
            shown.append("<" if match["less"] else match["escaped"])
    return shown.append(text[at:])


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table whose columns, but for the last, stand below each other."""
    from rich.cells import cell_len

    texts = [[escape(text) for text in row] for row in (heads, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
    widths[-1] = 0
    padded = [
        [text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)]
        for row in texts
    ]
    return markdown_table(padded[0], padded[1:], left=len(heads))


def _draw(
    to: Console,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: int,
    read: Callable[[str], Text] | None = None,
) -> None:
    """Draw a table, in parts if it is too wide; the first `left` columns hold texts, not numbers.

    `read` makes the texts of cells, which are plain without it.
    """
    from rich.text import Text

    read = read or Text
    cells = [[read(text) for text in row] for row in (heads, *rows)]
    widths = [
        _least_width(column, folds=place < left)
        for place, column in enumerate(zip(*cells, strict=True))
    ]
    for number, part in enumerate(_parts(widths, to.width)):
        if number:
            to.print()
        to.print(_table([[row[place] for place in part] for row in cells], part, widths, left))


def _parts(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """The columns of each part of a table, which has the first one and as many others as fit."""
    part, used = [0], widths[0] + GAP
    for place in range(1, len(widths)):
        if len(part) > 1 and used + widths[place] + GAP > room:
            yield part
            part, used = [0], widths[0] + GAP
        part.append(place)
        used += widths[place] + GAP
    yield part


def _least_width(column: Sequence[Text], folds: bool) -> int:
    """The width that a column needs; one that `folds` is cut between words, and in long ones."""
    from rich.cells import cell_len

    def longest_word(text: Text) -> int:
        return max(map(cell_len, text.plain.split()), default=1)

    head, *body = column
    widths = (min(longest_word(text), NARROW) if folds else text.cell_len for text in body)
    return max(longest_word(head), *widths, 1)


def _table(
    cells: Sequence[Sequence[Text]], columns: Sequence[int], widths: Sequence[int], left: int
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP, 0, 0),
        header_style="bold",
    )
    for place, head in zip(columns, cells[0], strict=True):
        table.add_column(
            head,
            justify="left" if place < left else "right",
            min_width=widths[place],
            overflow="fold",
        )
    for row in cells[1:]:
        table.add_row(*row)
    return table
