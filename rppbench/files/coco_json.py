"""Files in COCO's format, read entry by entry: they may be larger than memory.

Annotation files are an object of lists ('images', 'annotations', 'categories'), prediction files
one list. Nothing in them is trusted: text that is not JSON, or an invalid entry, raises a
UsageError that names the place.

The ijson library is as fast on one list, but keeps the path of every nested value: 20 000 nested
brackets (40 KB) cost it 1 GB, and every doubling costs four times as much. It also reads the file
once for each list, which takes twice as long for annotation files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from rppbench.errors import UsageError

CHUNK = 2**20
"""Characters read at once."""
LARGEST = 2**26
"""Maximum characters of one entry; longer entries are refused."""

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


def entries(path: Path, *wanted: str) -> Iterator[tuple[str, Any]]:
    """Pairs (list name, entry) of an object's wanted lists; ('', entry) if the file is one list.

    UsageError if the file cannot be read or is incomplete, or is an object and no list is wanted.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _Reader(file, path).entries(set(wanted))
    except FileNotFoundError as error:
        raise UsageError(f"no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error


class _Reader:
    """Reads JSON through a window that moves over the text."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self.file, self.path = file, path
        self.text, self.at, self.passed, self.ended = "", 0, 0, False

    def entries(self, wanted: set[str]) -> Iterator[tuple[str, Any]]:
        first = self.expect("[{")
        if first == "{" and not wanted:
            raise UsageError(
                f"{self.path} holds an object, not a list [{{...}}, ...]; if the entries are in it "
                "under a name such as 'annotations', write that list alone"
            )
        if first == "[":
            yield from (("", entry) for entry in self.list())
        elif self.peek() == "}":
            self.at += 1
        else:
            while True:
                name = self.value()
                if not isinstance(name, str):
                    raise self.wrong("a name in quotes was expected")
                self.expect(":")
                if self.peek() == "[":
                    self.at += 1
                    for entry in self.list():
                        if name in wanted:
                            yield name, entry
                else:
                    self.value()
                if self.expect(",}") == "}":
                    break
        if self.peek():
            raise self.wrong("there is more text after the end")

    def list(self) -> Iterator[Any]:
        """Entries of a list whose opening bracket has been read."""
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            yield self.value()
            if self.expect(",]") == "]":
                return

    def value(self) -> Any:
        """The next JSON value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
                # A number may continue in the part that is not read yet.
                if end < len(self.text) or self.ended:
                    self.at = end
                    return value
            except (ValueError, RecursionError) as error:
                # An error of syntax may be due to the part that is not read yet; too deep a value
                # and a number of too many digits are not.
                if self.ended or not isinstance(error, json.JSONDecodeError):
                    raise self.wrong("there is no valid JSON (cut off?)") from None
            if len(self.text) - self.at > LARGEST:
                raise self.wrong("there is no valid JSON, or an entry that is too long")
            self.more()

    def expect(self, expected: str) -> str:
        """Consume and return the next character, which must be one of `expected`."""
        character = self.peek()
        if not character or character not in expected:
            raise self.wrong(f"{' or '.join(expected)} was expected")
        self.at += 1
        return character

    def peek(self) -> str:
        """The next character that is not white space; '' at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _SPACE:
                    return self.text[self.at]
                self.at += 1
            if self.ended:
                return ""
            self.more()

    def more(self) -> None:
        """Drop the consumed text and read more; chunks grow with the length of the entry."""
        read = self.file.read(max(CHUNK, len(self.text) - self.at))
        self.passed += self.at
        self.text, self.at = self.text[self.at :] + read, 0
        self.ended = not read

    def wrong(self, what: str) -> UsageError:
        return UsageError(
            f"{self.path} is not a file in COCO's format: at character "
            f"{self.passed + self.at:,} {what}"
        )


# --- checks of an entry ---------------------------------------------------------------------------


def _finite(value: float) -> bool:
    """Whether a number, or an integer of any length, is a finite float."""
    return abs(value) <= sys.float_info.max


def integer_of(entry: Mapping[str, Any], name: str, where: str) -> int:
    """The integer `name` of an entry. UsageError if it is missing or not an integer."""
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if type(value) is not int or abs(value) > 2**62:
        raise UsageError(f"{where}: {name!r} is not an integer: {_abbreviated(entry)}")
    return value


def number_of(entry: Mapping[str, Any], name: str, where: str) -> float:
    """The finite number `name` of an entry. UsageError if it is missing or not a number."""
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise UsageError(f"{where}: {name!r} is not a number: {_abbreviated(entry)}")
    return float(value)


def text_of(entry: Mapping[str, Any], name: str, where: str) -> str:
    """The text `name` of an entry. UsageError if it is missing, blank or not a text."""
    value = entry.get(name) if isinstance(entry, Mapping) else None
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where}: {name!r} is not a text: {_abbreviated(entry)}")
    return value


def box(entry: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    """'bbox' of an entry: x, y, width, height in pixels. UsageError if it is invalid."""
    value = entry.get("bbox") if isinstance(entry, Mapping) else None
    if (
        not isinstance(value, list)
        or len(value) != 4
        or not all(type(edge) in (int, float) and _finite(edge) for edge in value)
        or min(value[2:]) < 0
    ):
        raise UsageError(f"{where}: 'bbox' is not x, y, width, height: {_abbreviated(entry)}")
    x, y, width, height = map(float, value)
    return x, y, width, height


def category_names(path: Path) -> list[tuple[int, str]]:
    """(id, name) of the categories of an annotation file, by id. UsageError if it has none."""
    names: dict[int, str] = {}
    for _, entry in entries(path, "categories"):
        number = integer_of(entry, "id", f"{path}, categories")
        if number in names:
            raise UsageError(f"{path}: two categories have the id {number}")
        names[number] = text_of(entry, "name", f"{path}, categories")
    if not names:
        raise UsageError(f"{path} has no categories")
    return sorted(names.items())


def _abbreviated(entry: object) -> str:
    text = json.dumps(entry, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:117]}..."
