"""The store of results on disk: records by their cell, learned prompts by their training.

A run writes one JSON file per cell, records/<task>/<data set>/<method>/seed<n>-<key>.json.
Published records are JSON Lines, records/<task>/<data set>.jsonl: one record per line, ordered by
method, seed and key. Both forms hold the same line. The place of a record follows from its cell
alone, so there is no index that could go stale, and any number of processes may write to one
folder. What a store has read it reads again only if the file has changed.

Where a folder holds several records of one cell, one of them counts:

- a file takes precedence over a line: a run writes files, and `write_lines` removes the files that
  it replaces, so a file is the newer record;
- both take precedence over a record of an earlier schema, which this version never writes;
- of two different records in the same form, the first counts and the other is reported as a
  problem; of two equal ones, either counts;
- two records that were computed from different data are always reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import filelock

from rppbench.errors import UsageError
from rppbench.files.atomic import Problem, write_atomically
from rppbench.records.cell import Cell, Training
from rppbench.records.codec import OtherSchema, decode, encode
from rppbench.records.confidence import Confidences, packed
from rppbench.records.names import file_name, former_file_name
from rppbench.records.record import Record, other_contents
from rppbench.records.record_files import ReadOnce, content_of, no_collection, record_files
from rppbench.records.stored import (
    Stored,
    keys_of_lines,
    line_order,
    lines_of,
    one_per_cell,
    store_order,
)
from rppbench.records.upgrade import upgrade

LOCK_SECONDS = 60.0
"""Longest wait of one publisher for another; writing takes far less."""


class Store:
    """The records and learned prompts under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._lines_paths: dict[tuple[str, str], Path] = {}
        self._folders: dict[tuple[str, str, str], str] = {}
        self._read: ReadOnce[Sequence[Stored | Problem]] = ReadOnce()
        self._line_keys: ReadOnce[frozenset[bytes]] = ReadOnce()
        self._latest: tuple[list[Record], list[Problem]] | None = None
        self._confidences = Confidences(self.root)

    @property
    def records(self) -> Path:
        return self.root / "records"

    def record_path(self, cell: Cell) -> Path:
        """records/<task>/<data set>/<method>/seed<n>-<key>.json"""
        return self._file(cell, cell.key)

    def lines_path(self, cell: Cell) -> Path:
        """records/<task>/<data set>.jsonl"""
        names = (cell.task.name, cell.dataset)
        if names not in self._lines_paths:  # cached: every line needs it, and joining paths is slow
            task, dataset = map(file_name, names)
            self._lines_paths[names] = self.records / task / f"{dataset}.jsonl"
        return self._lines_paths[names]

    def training_path(self, training: Training) -> Path:
        """prompts/<key>.safetensors"""
        return self.root / "prompts" / f"{training.key}.safetensors"

    def write(self, record: Record) -> Path:
        """Write the record to its file, replacing that of an earlier run of the same cell.

        The file holds the old record or the new one at any moment, even after a kill, never a part.
        A file in its place that is not a record is kept beside it, as NAME.json.damaged.
        A line of the same cell that was computed from other data is removed.
        Raises ValueError for a record with NaN or infinity, which JSON does not have.
        """
        path = self.record_path(record.cell)
        record, confidences = packed(record)
        line = encode(record)
        self._confidences.write(record, confidences)
        self._remove_stale_line(record)
        before = self._load(str(path)) if path.is_file() else None
        if isinstance(before, Problem):
            os.replace(path, path.with_name(f"{path.name}.damaged"))
        write_atomically(path, line + b"\n")
        former = self._file(record.cell, record.key, former_file_name)
        if former != path:
            former.unlink(missing_ok=True)
        old = before.record if isinstance(before, Stored) else None
        self._confidences.remove_others(record, old)
        return path

    def write_lines(self, records: Iterable[Record]) -> None:
        """Write records to JSON Lines, replacing all records of the same cells in the folder.

        Each .jsonl file is replaced in one step, and by one process at a time. Lines that are not
        records are kept, at the end. Raises ValueError as `write` does, before anything is written.
        """
        given = [packed(record) for record in records]
        changed: dict[Path, dict[Cell, bytes]] = {}
        for record, _ in given:
            changed.setdefault(self.lines_path(record.cell), {})[record.cell] = encode(record)
        if not changed:
            return
        with self.locked():
            for record, confidences in given:
                self._confidences.write(record, confidences)
            for path, lines in changed.items():
                self._rewrite(path, lines)
                for cell in lines:
                    self._remove_files(cell)
                    for former in self._lines_places(cell)[1:]:
                        self._drop_lines(former, {cell.key})
            for record, _ in given:
                self._confidences.remove_others(record)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Admits one process at a time; may be nested. UsageError after a minute of waiting."""
        self.records.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except filelock.Timeout as error:
            raise UsageError(
                f"another process has been writing to {self.records} for {LOCK_SECONDS:g} s; "
                "try again when it is done"
            ) from error
        try:
            yield
        finally:
            self._lock.release()

    @cached_property
    def _lock(self) -> filelock.BaseFileLock:
        return filelock.FileLock(self.records / ".lock", timeout=LOCK_SECONDS)

    def _rewrite(self, path: Path, changed: dict[Cell, bytes], without: Cell | None = None) -> None:
        """Replace the lines of the changed cells, and leave one cell out."""
        lines = dict(changed)
        not_records: list[bytes] = []
        for number, line in lines_of(path) if path.exists() else ():
            stored = self._line(path, number, line)
            if isinstance(stored, Problem):
                not_records.append(line)
            else:
                cell = stored.record.cell
                if cell == without:
                    continue
                lines.setdefault(cell, encode(stored.record) if stored.old else line)
        ordered = [lines[cell] for cell in sorted(lines, key=line_order)]
        write_atomically(path, b"".join(line + b"\n" for line in (*ordered, *not_records)))

    def _remove_stale_line(self, record: Record) -> None:
        """Remove the line of the same cell if it was computed from other data than the record."""
        path = self.lines_path(record.cell)
        if not record.contents or not path.is_file():
            return
        if record.key.encode() not in self._line_keys.get(str(path), keys_of_lines):
            return
        for number, line in lines_of(path):
            if record.key.encode() in line[:40]:
                stored = self._line(path, number, line)
                if isinstance(stored, Stored) and other_contents(
                    record.contents, stored.record.contents
                ):
                    with self.locked():
                        self._rewrite(path, {}, without=record.cell)
                    return

    def drop(self, cells: Iterable[Cell]) -> int:
        """Remove all records of these cells, in files and lines; returns how many were removed.

        Other records stay as they are, and so do learned prompts. OSError if the folder cannot be
        written.
        """
        keys: dict[Path, set[str]] = {}
        count = 0
        with self.locked():
            for cell in cells:
                count += self._remove_files(cell)
                for path in self._lines_places(cell):
                    keys.setdefault(path, set()).add(cell.key)
            for path, of_path in keys.items():
                count += self._drop_lines(path, of_path)
        self._confidences.remove_all(key for of_path in keys.values() for key in of_path)
        return count

    def _drop_lines(self, path: Path, keys: set[str]) -> int:
        kept = []
        lines = list(lines_of(path)) if path.is_file() else []
        for number, line in lines:
            stored = self._line(path, number, line)
            if isinstance(stored, Problem) or stored.record.key not in keys:
                kept.append(line)
        if len(kept) == len(lines):
            return 0
        if kept:
            write_atomically(path, b"".join(line + b"\n" for line in kept))
        else:
            path.unlink()
        return len(lines) - len(kept)

    def _remove_files(self, cell: Cell) -> int:
        """Remove the files of a cell, of which there may be one of an earlier schema too."""
        count = 0
        for path in self._files(cell):
            stored = self._load(str(path))
            if isinstance(stored, Stored) and stored.record.key == cell.key:
                path.unlink()
                count += 1
        return count

    def has_lines(self) -> bool:
        """Whether the folder has records in JSON Lines."""
        return any(self.records.rglob("*.jsonl"))

    def read(self, cell: Cell) -> Record | None:
        """The record of this cell, ok or failed; None without a valid record."""
        path = self.record_path(cell)
        if path.is_file():
            newest = self._load(str(path))
            if isinstance(newest, Stored) and not newest.old:
                return newest.record  # no other form outranks it: the folder need not be read
        stored = [self._load(str(path)) for path in self._files(cell)]
        for path in self._lines_places(cell):
            if path.is_file():
                stored += [
                    self._line(path, number, line)
                    for number, line in lines_of(path)
                    if cell.key.encode() in line[:40]
                ]
        return next(
            (one.record for one in one_per_cell(stored) if one.record.key == cell.key), None
        )

    def in_the_way(self, cell: Cell) -> Problem | None:
        """The problem with an invalid record in the place of this cell's; None without one."""
        path = self.record_path(cell)
        if path.exists() and isinstance(stored := self._load(str(path)), Problem):
            return stored
        path = self.lines_path(cell)
        for number, line in lines_of(path) if path.is_file() else ():
            if cell.key.encode() in line[:40]:
                stored = self._line(path, number, line)
                if isinstance(stored, Problem):
                    return stored
        return None

    def all(
        self, report: Callable[[int, int], object] = lambda done, total: None
    ) -> tuple[list[Record], list[Problem]]:
        """The record of every cell, ok or failed, and all problems; both in a stable order.

        `report` is called with the number of files read so far and of all files.
        """
        stored, problems = self.stored(report)
        self._latest = [one.record for one in stored], problems
        return self._latest

    def latest(self) -> tuple[list[Record], list[Problem]]:
        """What `all` returned last, without looking whether files have changed since."""
        return self._latest or self.all()

    def stored(
        self, report: Callable[[int, int], object] = lambda done, total: None
    ) -> tuple[list[Stored], list[Problem]]:
        """As `all`, but each record with its place."""
        with no_collection():
            stored: list[Stored | Problem] = []
            paths = record_files(str(self.records))
            for done, path in enumerate(paths, 1):
                report(done, len(paths))
                stored += self._read.get(path, self._load_any)
            problems = [one for one in stored if isinstance(one, Problem)]
            return sorted(one_per_cell(stored, problems), key=store_order), problems

    def _files(self, cell: Cell) -> Sequence[Path]:
        """Files that may hold the cell's record, those of earlier schemas included."""
        path = self.record_path(cell)
        folders = {path.parent: None, self._file(cell, cell.key, former_file_name).parent: None}
        names = f"seed{cell.seed}-*.json"
        others = [other for folder in folders for other in sorted(folder.glob(names))]
        return [path, *(other for other in others if other != path)] if others else ()

    def _file(self, cell: Cell, key: str, part: Callable[[str], str] = file_name) -> Path:
        names = (cell.task.name, cell.dataset, cell.method.name)
        return self.records.joinpath(*map(part, names)) / f"seed{cell.seed}-{key}.json"

    def _is_place(self, path: str, cell: Cell, key: str) -> bool:
        """Whether the path is that of the cell's file, also in versions before 0.2."""
        names = (cell.task.name, cell.dataset, cell.method.name)
        if names not in self._folders:  # as for the paths of lines
            self._folders[names] = str(self._file(cell, key).parent)
        if path == f"{self._folders[names]}{os.sep}seed{cell.seed}-{key}.json":
            return True
        return Path(path) == self._file(cell, key, former_file_name)

    def _lines_places(self, cell: Cell) -> Sequence[Path]:
        """The file of a cell's line, and that of versions before 0.2 if it was another."""
        path = self.lines_path(cell)
        task, dataset = map(former_file_name, (cell.task.name, cell.dataset))
        former = self.records / task / f"{dataset}.jsonl"
        return [path] if former == path else [path, former]

    def _load(self, file: str) -> Stored | Problem:
        try:
            record, older = _decode(content_of(file).removesuffix(b"\n"))
        except OSError as error:
            return Problem(Path(file), f"cannot be read: {error.strerror}")
        except ValueError as error:
            return Problem(Path(file), str(error))
        key = older or record.key
        if not self._is_place(file, record.cell, key):
            # A cell has one place: otherwise a copied file would count as a second measurement.
            expected = self._file(record.cell, key)
            return Problem(Path(file), f"a record in the wrong place; it belongs at {expected}")
        return Stored(record, file, old=older is not None)

    def _load_any(self, file: str) -> Sequence[Stored | Problem]:
        return (self._load(file),) if file.endswith(".json") else self._load_lines(Path(file))

    def _load_lines(self, path: Path) -> list[Stored | Problem]:
        try:
            return [self._line(path, number, line) for number, line in lines_of(path)]
        except OSError as error:
            return [Problem(path, f"cannot be read: {error.strerror}")]

    def _line(self, path: Path, number: int, line: bytes) -> Stored | Problem:
        try:
            record, older = _decode(line)
        except ValueError as error:
            return Problem(path, str(error), number)
        expected = self.lines_path(record.cell)
        if str(path) != str(expected) and path not in self._lines_places(record.cell):
            return Problem(path, f"a record in the wrong place; it belongs in {expected}", number)
        return Stored(record, str(path), number, older is not None)


def _decode(line: bytes) -> tuple[Record, str | None]:
    """The record, and the key that it had in an earlier schema."""
    try:
        return decode(line), None
    except OtherSchema as older:
        return upgrade(older)
