"""Standard output and error on which no text can command the terminal.

Whatever a command, a plugin or a library prints passes `printable`: an escape sequence in a class
name is shown as text. The sequences of rich's colours and bars go past it, from `console`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rppbench.files.printable import printable

KEPT = "\n\t\r"
"""A carriage return begins the line of a bar again."""


class PlainStream:
    """A text stream that is `stream` but for the characters that `printable` escapes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(printable(text, KEPT))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def plain_output() -> Iterator[None]:
    """Standard output and error are `PlainStream`s inside."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream if isinstance(stream, PlainStream) else PlainStream(stream) for stream in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def below(stream: TextIO) -> TextIO:
    """The stream itself, below a `PlainStream`."""
    return stream.stream if isinstance(stream, PlainStream) else stream
