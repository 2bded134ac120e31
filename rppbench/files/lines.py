"""Lines of text files that other programs wrote.

`str.splitlines` also breaks at form feeds, U+0085, U+2028 and others, which may be part of a name:
every later line would then have another number.
"""

from __future__ import annotations

from pathlib import Path


def split_lines(text: str) -> list[str]:
    """Lines that end in LF or CRLF, without their ends; the last one may lack its end."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def read_lines(path: Path) -> list[str]:
    """The stripped lines of a UTF-8 file that are not empty; a byte order mark is not text.

    OSError or ValueError if it cannot be read.
    """
    return [line for text in _lines(path) if (line := text.strip())]


def numbered_lines(path: Path) -> list[str]:
    """The stripped lines of a UTF-8 file in which the number of a line is its meaning.

    Empty lines are allowed at the end only. OSError or ValueError if it cannot be read.
    """
    lines = [line.strip() for line in _lines(path)]
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not line:
            raise ValueError(
                f"line {number} is empty, but each line names the class of its number; "
                "remove the line or name the class"
            )
    return lines


def _lines(path: Path) -> list[str]:
    lines = split_lines(path.read_bytes().decode("utf-8-sig"))
    for number, line in enumerate(lines, 1):
        if "\r" in line:
            raise ValueError(f"line {number} has a carriage return inside; lines end in LF or CRLF")
    return lines
