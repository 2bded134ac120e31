"""Lines of text files that other programs wrote.

`str.splitlines` also breaks at form feeds, U+0085, U+2028 and others, which may be part of a name:
every later line would then have another number.
"""

from __future__ import annotations

from pathlib import Path

from rppbench.errors import UsageError

LISTS = (".txt", ".lst", ".list")
"""Endings of files that list names or paths, one a line."""


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


def listed_names(path: Path, what: str, example: str, hint: str = "") -> list[str]:
    """The names in a file, one a line, as `numbered_names`."""
    return [name for _, name in numbered_names(path, what, example, hint)]


def numbered_names(path: Path, what: str, example: str, hint: str = "") -> list[tuple[int, str]]:
    """The names in a file, one a line, with its number; lines that start with '#' are skipped.

    `what` is what each of them names: 'backbone'. UsageError for a file that cannot be read, with a
    `hint` if it is not text, and, with an `example`, for one that names nothing.
    """
    try:
        lines = [line.strip() for line in _lines(path)]
    except OSError as error:
        raise UsageError(f"cannot read the list of {what}s {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not a text file; a list names one {what} a line{hint}"
        ) from error
    names = [
        (number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")
    ]
    if not names:
        raise UsageError(f"{path} names no {what}: write one a line, such as {example}")
    return names


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
