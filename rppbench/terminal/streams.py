"""Standard output and error that no terminal, pipe or full disk can break.

Text that the encoding of the stream does not have is spelt in its own characters. A closed or full
stream swallows what is written, so that a run goes to its end and keeps its records; `failure` says
afterwards that the output was lost.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

SPELLINGS = {
    "–": "-",
    "—": "-",
    "−": "-",
    "±": "+/-",
    "×": "x",
    "·": "|",
    "…": "...",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "\N{NO-BREAK SPACE}": " ",
}
"""Plain spellings of the characters that rppbench prints; others become escapes such as \\u4e00."""


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    parts = [
        SPELLINGS.get(character) or character.encode("ascii", "backslashreplace").decode()
        for character in error.object[error.start : error.end]
    ]
    return "".join(parts), error.end


codecs.register_error("rppbench", _spell)


class _Sink(io.RawIOBase):
    """A file descriptor that never fails; it keeps the first error."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]  # a buffer, as io writes it
        if self.failure is None:
            try:
                return os.write(self.descriptor, view)
            except OSError as error:
                self.failure = error
        return len(view)


def protect() -> None:
    """Replace the standard streams by ones that never fail; may be called again."""
    for descriptor in range(3):  # a closed one would go to the next file that is opened
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        now = getattr(sys, name)
        # Replaced by a test or a notebook, or done already: left as it is.
        if now is getattr(sys, f"__{name}__") and not isinstance(_sink(now), _Sink):
            stream = _protected(now, descriptor)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _protected(now: io.TextIOWrapper | None, descriptor: int) -> io.TextIOWrapper:
    encoding = "utf-8" if now is None else now.encoding
    if now is not None:
        with suppress(OSError, ValueError):
            now.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Sink(descriptor)),
        encoding,
        errors="rppbench",
        line_buffering=descriptor == 2 or (now is not None and now.line_buffering),
    )


def failure() -> OSError | None:
    """Why standard output was lost; None if all of it was written."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    return getattr(_sink(sys.stdout), "failure", None)


def was_closed_by_reader(error: OSError) -> bool:
    """Whether the reader of a pipe, `head` for example, has seen enough."""
    return error.errno == errno.EPIPE


def _sink(stream: object) -> object:
    return getattr(getattr(stream, "buffer", None), "raw", None)
