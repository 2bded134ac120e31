"""Files in COCO's format, read entry by entry: what they hold may be larger than memory.

Annotation files are an object of lists ('images', 'annotations', 'categories'), prediction files
one list. Nothing in them is trusted: whatever is no JSON, or not what an entry must be, is a
UsageError that says where.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from rppbench.errors import UsageError

CHUNK = 2**20
"""Characters that are read at once."""
LARGEST = 2**26
"""Characters of one entry; what is longer is no entry of such a file."""

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


def entries(path: Path, *wanted: str) -> Iterator[tuple[str, Any]]:
    """(list, entry) of the wanted lists of an object; ('', entry) where the file is one list.

    UsageError if the file cannot be read or is not whole.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _Reader(file, path).entries(set(wanted))
    except FileNotFoundError as error:
        raise UsageError(f"no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error


class _Reader:
    """A window on the text that moves on."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self.file, self.path = file, path
        self.text, self.at, self.passed, self.ended = "", 0, 0, False

    def entries(self, wanted: set[str]) -> Iterator[tuple[str, Any]]:
        first = self.sign("[{")
        if first == "[":
            yield from (("", entry) for entry in self.list())
        elif self.peek() == "}":
            self.at += 1
        else:
            while True:
                name = self.value()
                if not isinstance(name, str):
                    raise self.wrong("a name in quotes is expected")
                self.sign(":")
                if self.peek() == "[":
                    self.at += 1
                    for entry in self.list():
                        if name in wanted:
                            yield name, entry
                else:
                    self.value()
                if self.sign(",}") == "}":
                    break
        if self.peek():
            raise self.wrong("there is more behind the end")

    def list(self) -> Iterator[Any]:
        """Entries of a list whose bracket is passed."""
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            yield self.value()
            if self.sign(",]") == "]":
                return

    def value(self) -> Any:
        """The JSON value that comes next."""
        self.peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self.text, self.at)
                # A number may go on in the part that is not read yet.
                if end < len(self.text) or self.ended:
                    self.at = end
                    return found
            except (json.JSONDecodeError, RecursionError) as error:
                # An error far from what is not read yet does not go away by reading on.
                if self.ended or isinstance(error, RecursionError):
                    raise self.wrong("no JSON (cut off?)") from None
            if len(self.text) - self.at > LARGEST:
                raise self.wrong("no JSON, or an entry too long to be one")
            self.more()

    def sign(self, expected: str) -> str:
        """The sign that comes next, which is passed."""
        found = self.peek()
        if not found or found not in expected:
            raise self.wrong(f"{' or '.join(expected)} is expected")
        self.at += 1
        return found

    def peek(self) -> str:
        """The sign that comes next; '' at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _SPACE:
                    return self.text[self.at]
                self.at += 1
            if self.ended:
                return ""
            self.more()

    def more(self) -> None:
        """Read on; what is passed is forgotten. A long entry makes for larger steps."""
        read = self.file.read(max(CHUNK, len(self.text) - self.at))
        self.passed += self.at
        self.text, self.at = self.text[self.at :] + read, 0
        self.ended = not read

    def wrong(self, what: str) -> UsageError:
        return UsageError(
            f"{self.path} is not a file in COCO's format: at character "
            f"{self.passed + self.at:,} {what}"
        )


# --- what an entry must be ------------------------------------------------------------------------


def whole(entry: Mapping[str, Any], name: str, where: str) -> int:
    """A whole number of an entry. UsageError if there is none."""
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if type(value) is not int or abs(value) > 2**62:
        raise UsageError(f"{where}: {name!r} is no whole number: {_shown(entry)}")
    return value


def real(entry: Mapping[str, Any], name: str, where: str) -> float:
    """A finite number of an entry. UsageError if there is none."""
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{where}: {name!r} is no number: {_shown(entry)}")
    return float(value)


def word(entry: Mapping[str, Any], name: str, where: str) -> str:
    """A text of an entry. UsageError if there is none."""
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where}: {name!r} is no text: {_shown(entry)}")
    return value


def box(entry: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    """'bbox' of an entry: x, y, width, height. UsageError if it is none."""
    value = entry.get("bbox") if isinstance(entry, Mapping) else None
    if (
        not isinstance(value, list)
        or len(value) != 4
        or not all(type(edge) in (int, float) and math.isfinite(edge) for edge in value)
        or min(value[2:]) < 0
    ):
        raise UsageError(f"{where}: 'bbox' is not x, y, width, height: {_shown(entry)}")
    x, y, width, height = map(float, value)
    return x, y, width, height


def category_names(path: Path) -> list[tuple[int, str]]:
    """(id, name) of the categories of an annotation file, by id. UsageError if it has none."""
    found: dict[int, str] = {}
    for _, entry in entries(path, "categories"):
        number = whole(entry, "id", f"{path}, categories")
        if number in found:
            raise UsageError(f"{path}: two categories have the id {number}")
        found[number] = word(entry, "name", f"{path}, categories")
    if not found:
        raise UsageError(f"{path} names no categories")
    return sorted(found.items())


def _shown(entry: object) -> str:
    text = json.dumps(entry, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:117]}..."
