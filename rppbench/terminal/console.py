"""The console: rich in a terminal, plain and wide in a file or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rppbench.files.printable import printable
from rppbench.terminal.plain_output import KEPT, below

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 10_000
"""Width in columns of a file or a pipe, which has no window."""


def console(stderr: bool = False) -> Console:
    """Rich in a terminal; elsewhere plain text, wide enough that no name is cut."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class PlainConsole(Console):
        """A console whose colours and bars are its own: no text has any."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(printable(text, KEPT), style)

    stream = below(sys.stderr if stderr else sys.stdout)
    width = None if stream.isatty() else WIDE
    # Names of classes and files may hold brackets, which are not markup.
    return PlainConsole(file=stream, width=width, markup=False, emoji=False, highlight=False)


def hanging(text: str) -> str:
    """The text with all its lines but the first indented."""
    return "\n  ".join(text.splitlines())


def note(line: str) -> None:
    """Print a remark of the program on stderr."""
    print(f"rppbench: {line}", file=sys.stderr)


def print_table(to: Console, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns under their heads, without lines; only the last column may wrap.

    A table of single lines that is not for a window is written without rich, which takes a
    millisecond for each row.
    """
    rows = list(rows)
    if not to.is_terminal and all(text.isprintable() for row in rows for text in row):
        to.file.writelines(_plain_lines([heads, *rows]))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(head, no_wrap=head != heads[-1])
    for row in rows:
        table.add_row(*row)
    to.print(table)


def _plain_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table as rich prints them in a window that is wide enough."""
    from rich.cells import cell_len

    sizes = [[cell_len(text) for text in row] for row in rows]
    widths = [max(column) for column in zip(*sizes, strict=True)]
    for row, of_row in zip(rows, sizes, strict=True):
        padded = (
            text + " " * (width - size)
            for text, size, width in zip(row, of_row, widths, strict=True)
        )
        yield "  ".join(padded) + "\n"
