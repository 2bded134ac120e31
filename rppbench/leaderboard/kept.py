"""Statistics of tables that are kept beside the pages, under digests of the tables' records.

They take longer to compute than all else of a page, and need numpy; the same records give the same
statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from rppbench.files.atomic import write_atomically
from rppbench.leaderboard.tables import Column, PairTest, Spread
from rppbench.records.codec import line_digest
from rppbench.records.record import Record

FILE = "statistics.json"
VERSION = 4
"""Increased when the same records would give other statistics."""
DIGITS = 9
"""Significant digits that are kept: further ones differ between machines."""


class Statistics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is computed from the outcomes of a table's records."""

    spreads: dict[str, list[Spread | None]]
    """By row, one for each column."""
    averages: dict[str, Spread | None]
    """By row."""
    tests: list[PairTest]
    """One for each pair of complete rows for which anything says how certain it is."""
    units: list[str]
    """What is independent, in the singular: 'image', 'drawing'; several if data sets differ."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    tables: dict[str, Statistics]


class Without:
    """Stands in for `Kept` where tables need no statistics, as where two rows are compared."""

    def get(
        self,
        labels: Sequence[str],
        columns: Iterable[Column],
        records: Iterable[Record],
        compute: Callable[[], Statistics],
    ) -> None:
        """No statistics, and no digest of the records, which takes long for many."""


class Kept:
    """Statistics by digest; those of a file to begin with."""

    def __init__(self, folder: Path | None = None) -> None:
        """Reads the file of a folder. One that is damaged or of another version counts as empty."""
        self.path = folder / FILE if folder else None
        self._known: dict[str, Statistics] = {}
        self._used: dict[str, Statistics] = {}
        self._read: list[str] = []
        if self.path is not None and self.path.is_file():
            try:
                content = msgspec.json.decode(self.path.read_bytes(), type=_File)
            except (msgspec.DecodeError, OSError, RecursionError):
                return
            if content.version == VERSION:
                self._known, self._read = content.tables, sorted(content.tables)

    def get(
        self,
        labels: Sequence[str],
        columns: Iterable[Column],
        records: Iterable[Record],
        compute: Callable[[], Statistics],
    ) -> Statistics:
        """The statistics of a table, computed and rounded unless they are known."""
        key = records_digest(labels, columns, records)
        if key not in self._known:
            self._known[key] = _rounded(compute())
        self._used[key] = self._known[key]
        return self._known[key]

    def write(self) -> None:
        """Write what was used since the file was read. OSError if it cannot be written."""
        if self.path is not None and sorted(self._used) != self._read:
            content = _File(VERSION, dict(sorted(self._used.items())))
            text = msgspec.json.format(msgspec.json.encode(content), indent=0)
            write_atomically(self.path, text.decode() + "\n")


def kept_digits(value: float) -> float:
    """The value with `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def records_digest(
    labels: Sequence[str], columns: Iterable[Column], records: Iterable[Record]
) -> str:
    """A digest of all that the statistics of a table with these rows follow from."""
    digests = sorted(f"{record.key} {line_digest(record)}" for record in records)
    lines = [repr(labels), *(f"{c.dataset} {c.metric}" for c in columns), *digests]
    return sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _rounded(statistics: Statistics) -> Statistics:
    def plain(value: object) -> object:
        if isinstance(value, float):
            return kept_digits(value)
        if isinstance(value, list):
            return [plain(one) for one in value]
        return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value

    return msgspec.convert(plain(msgspec.to_builtins(statistics)), Statistics)
