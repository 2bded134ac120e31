"""Records with their places on disk: which of several counts, and their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rppbench.files.atomic import Problem
from rppbench.records.cell import Cell
from rppbench.records.names import file_name
from rppbench.records.record import Record, other_contents

_KEY = re.compile(rb'"([0-9a-f]{12})"')


@dataclass(frozen=True)
class Stored:
    """A record and its place on disk."""

    record: Record
    file: str
    line: int | None = None
    old: bool = False
    """Whether it is of an earlier schema."""

    @property
    def path(self) -> Path:
        """The file; made on request, since most are never asked for."""
        return Path(self.file)

    @property
    def place(self) -> str:
        """The file, with the number of the line if there is one."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def rank(self) -> tuple[bool, bool]:
        """Sort key: of all records of one cell, the one with the lowest rank counts."""
        return self.old, self.line is not None


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that hold anything, with their numbers from 1."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line:
            yield number, line


def keys_of_lines(path: str) -> frozenset[bytes]:
    """The keys in the lines of a file."""
    return frozenset(key for _, line in lines_of(Path(path)) for key in _KEY.findall(line[:40]))


def one_per_cell(
    stored: Iterable[Stored | Problem], problems: list[Problem] | None = None
) -> Iterator[Stored]:
    """The record that counts of each cell; different ones in the same form become problems."""
    counted: dict[str, Stored] = {}
    records = [one for one in stored if isinstance(one, Stored)]
    if len({one.rank for one in records}) > 1:
        records.sort(key=lambda one: one.rank)
    for one in records:
        first = counted.setdefault(one.record.key, one)
        if first is one:
            continue
        if first.rank == one.rank and first.record != one.record and problems is not None:
            where = first.file if first.line is None else f"line {first.line}"
            reason = f"another record of the cell {one.record.key} in {where}"
            problems.append(Problem(one.path, reason, one.line))
        elif problems is not None and (
            parts := other_contents(first.record.contents, one.record.contents)
        ):
            reason = (
                f"a record of the cell {one.record.key} that was computed from other data "
                f"({', '.join(parts)}) than the one in {first.place}"
            )
            problems.append(Problem(one.path, reason, one.line))
    yield from counted.values()


def line_order(cell: Cell) -> tuple[str, int, str]:
    """Sort key of the lines of a file."""
    return file_name(cell.method.name), cell.seed, cell.key


def store_order(stored: Stored) -> tuple[str, str, tuple[str, int, str]]:
    """Sort key of the records of a store."""
    cell = stored.record.cell
    return file_name(cell.task.name), file_name(cell.dataset), line_order(cell)
