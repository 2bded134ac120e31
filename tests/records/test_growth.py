"""Folders of many records: cost grows with their number, and nothing is read twice."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import record

from rppbench.files.atomic import Problem
from rppbench.leaderboard.build import build
from rppbench.planning.status import survey
from rppbench.records import record_files
from rppbench.records.cell import Cell
from rppbench.records.codec import encode
from rppbench.records.record import Failure, Record
from rppbench.records.store import Store

SETS = ("flowers", "birds")
LISTS = ("os.listdir", "os.scandir", "glob.glob")

_watchers: list[Callable[[str, str], None]] = []
_hooked: list[bool] = []


@contextmanager
def events(*names: str) -> Iterator[list[str]]:
    """The paths of the audit events of these names in the block."""
    if not _hooked:  # a hook cannot be removed
        _hooked.append(True)
        sys.addaudithook(
            lambda event, args: [watch(event, str(args[0])) for watch in _watchers] and None
        )
    paths: list[str] = []

    def watch(event: str, path: str) -> None:
        if event in names:
            paths.append(path)

    _watchers.append(watch)
    try:
        yield paths
    finally:
        _watchers.remove(watch)


def made(seeds: int) -> list[Record]:
    return [
        record(method, dataset, seed, 50.0 + seed % 7)
        for method in ("coop", "pomp")
        for dataset in SETS
        for seed in range(1, seeds + 1)
    ]


def filled(root: Path, records: list[Record]) -> Store:
    """A store with these records in files, written without waiting for the disk."""
    store = Store(root)
    for one in records:
        path = store.record_path(one.cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(one) + b"\n")
    return store


def calls(work: Callable[[], object]) -> int:
    """How many functions the work calls, in Python and C: its cost, free of other programs."""
    count = 0

    def watch(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def read_and_table(store: Store) -> None:
    records, problems = store.all()
    assert problems == []
    build(records)


def plan_half(store: Store, cells: list[Cell]) -> None:
    """Half of the cells have a record, so that the others get an estimate from them."""
    states = [entry.state for entry in survey(cells, store)[0]]
    assert states.count("todo") == len(cells) // 2


def test_reading_tables_and_plans_grow_with_the_number_of_records(tmp_path: Path) -> None:
    costs: dict[str, list[int]] = {"table": [], "plan": []}
    for seeds in (20, 80):
        records = made(seeds)
        store = filled(tmp_path / str(seeds), records)
        cells = [one.cell for one in made(2 * seeds)]
        plan_half(Store(store.root), cells)  # fills what processes keep, such as names
        costs["table"].append(calls(lambda store=store: read_and_table(Store(store.root))))
        costs["plan"].append(
            calls(lambda store=store, cells=cells: plan_half(Store(store.root), cells))
        )
    for few, many in costs.values():
        assert many < 4.2 * few


def test_writing_a_record_lists_no_folder_and_opens_as_many_files_in_a_full_one(
    tmp_path: Path,
) -> None:
    opened = []
    for seeds in (3, 60):
        records = made(seeds)
        store = filled(tmp_path / str(seeds), records)
        store.write(records[0])  # lists each folder once
        others = [replace(records[0].cell, seed=1000 + n) for n in range(3)]
        with events(*LISTS) as lists, events("open") as opens:
            for cell in others:
                store.write(replace(records[0], cell=cell, contents={"flowers:test": "x"}))
        assert lists == []
        opened.append(len(opens))
    assert opened[0] == opened[1]


def test_lines_are_read_once_for_many_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "RECENT_NS", -(10**18))  # as if they were written long ago
    store = Store(tmp_path)
    published = [replace(one, contents={"flowers:test": "x"}) for one in made(3)]
    store.write_lines(published)
    lines = str(store.lines_path(published[0].cell))
    with events("open") as opens:
        for seed in (100, 101, 102):
            cell = replace(published[0].cell, seed=seed)
            store.write(replace(published[0], cell=cell))
    assert opens.count(lines) == 1
    # The line of a cell that was computed from other data still goes.
    store.write(replace(published[0], contents={"flowers:test": "y"}))
    assert published[0].key.encode() not in Path(lines).read_bytes()


@pytest.mark.parametrize("lines", [False, True])
def test_a_store_reads_again_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: bool
) -> None:
    monkeypatch.setattr(record_files, "RECENT_NS", -(10**18))
    records = made(3)
    if lines:
        Store(tmp_path).write_lines(records)
    else:
        filled(tmp_path, records)
    store = Store(tmp_path)
    before = store.all()
    with events("open") as opens:
        assert store.all() == before
    assert [path for path in opens if "records" in path] == []
    # Another process writes a failure, and the damage of a disk keeps size and time of a file.
    failed = replace(records[0], status="failed", scores=(), failure=Failure("oom", "too large"))
    path = Store(tmp_path).write(failed)
    now, problems = store.all()
    assert problems == []
    assert failed in now
    assert now == Store(tmp_path).all()[0]
    text = path.read_bytes()
    path.write_bytes(text.replace(b"too large", b"too small"))
    os.utime(path, ns=(0, 0))
    _, problems = store.all()
    assert [type(one) for one in problems] == [Problem]
    assert store.all() == Store(tmp_path).all()


def test_a_file_that_was_written_a_moment_ago_is_read_again(tmp_path: Path) -> None:
    store = filled(tmp_path, made(1))
    store.all()
    with events("open") as opens:
        store.all()
    assert len([path for path in opens if path.endswith(".json")]) == len(made(1))
