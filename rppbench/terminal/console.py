"""The console: rich in a terminal, plain and wide in a file or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable
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
