"""Records in JSON Lines: one line a record, beside files of the same folder or instead of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
from support.records import record

from rppbench.cli import main
from rppbench.errors import UsageError
from rppbench.records import store as stores
from rppbench.records.codec import encode
from rppbench.records.merge import Arriving, Merged, merge, merge_records, publish
from rppbench.records.record import Failure
from rppbench.records.store import Store

RECORDS = [record(name, seed=seed) for name in ("rpp", "coop") for seed in (10, 2)]
ORDER = [("coop", 2), ("coop", 10), ("rpp", 2), ("rpp", 10)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.write_lines(RECORDS)
    return store


def the_file(store: Store) -> Path:
    (path,) = store.records.rglob("*.jsonl")
    return path


def test_lines_are_the_bytes_of_files_in_the_order_of_method_and_seed(store: Store) -> None:
    path = the_file(store)
    assert path == store.records / "cross-dataset" / "flowers.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert set(lines) == {store.write(one).read_bytes() for one in RECORDS}
    assert all(line.startswith(b'{"key":"') for line in lines)
    made, problems = Store(store.root).all()
    assert [(one.cell.method.name, one.cell.seed) for one in made] == ORDER
    assert [encode(one) + b"\n" for one in made] == lines
    assert problems == []


def test_a_line_is_read_by_its_cell_and_replaced_alone(store: Store) -> None:
    first, *others = RECORDS
    before = the_file(store).read_bytes().splitlines()
    again = replace(first, finished="2027-01-01T00:00:00+00:00")
    store.write_lines([again])
    assert store.read(first.cell) == again
    assert store.read(record("pomp").cell) is None
    assert all(store.read(other.cell) == other for other in others)
    assert len(set(the_file(store).read_bytes().splitlines()) - set(before)) == 1


def test_a_damaged_line_is_named_by_file_and_number_hides_no_other_and_stays(store: Store) -> None:
    path = the_file(store)
    lines = path.read_bytes().splitlines()
    damaged = lines[1].replace(b"50.0", b"99.0")
    path.write_bytes(b"\n".join([lines[0], damaged, lines[2][:99], b"", *lines[2:]]))
    made, problems = store.all()
    assert [(one.cell.method.name, one.cell.seed) for one in made] == [ORDER[0], *ORDER[2:]]
    assert [str(problem) for problem in problems] == [
        f"{path}:2: the content does not match its digest: edited or damaged",
        f"{path}:3: not complete JSON (cut off?): Input data was truncated",
    ]
    store.write_lines([record("pomp")])
    assert path.read_bytes().splitlines()[-2:] == [damaged, lines[2][:99]]
    assert len(store.all()[0]) == 4
    # A number of the damaged line's cell does not come beside it unseen.
    coop = next(one for one in RECORDS if one.key.encode() in damaged)
    result = Merged()
    merge_records(store, [Arriving(coop, "elsewhere")], result)
    (conflict,) = result.conflicts
    assert conflict.startswith(f"{path}:")
    assert conflict.endswith("is not a record, but occupies the place of one")


def test_other_line_endings_are_damage_that_is_named(store: Store) -> None:
    path = the_file(store)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    made, problems = store.all()
    assert made == []
    assert len(problems) == 4
    assert "digest" in problems[0].reason


def test_a_file_supersedes_a_line_until_its_record_becomes_one(store: Store) -> None:
    """A run writes files; whatever is published afterwards removes the file it replaces."""
    first = RECORDS[0]
    rerun = replace(first, finished="2027-01-01T00:00:00+00:00")
    path = store.write(rerun)
    made, problems = store.all()
    assert len(made) == 4
    assert rerun in made
    assert first not in made
    assert problems == []
    assert store.read(first.cell) == rerun
    last = replace(first, finished="2028-01-01T00:00:00+00:00")
    store.write_lines([last])
    assert not path.exists()
    assert store.read(first.cell) == last


def test_a_damaged_file_hides_no_line_and_is_named(store: Store) -> None:
    path = store.write(RECORDS[0])
    path.write_text("{")
    made, problems = store.all()
    assert RECORDS[0] in made
    assert [problem.path for problem in problems] == [path]
    assert store.read(RECORDS[0].cell) == RECORDS[0]


def test_a_line_twice_counts_once_and_two_numbers_of_one_cell_are_named(store: Store) -> None:
    path = the_file(store)
    text = path.read_bytes()
    path.write_bytes(text + text)
    made, problems = store.all()
    assert len(made) == 4
    assert problems == []
    other = record("coop", seed=2, value=51.0)
    path.write_bytes(text + encode(other))
    made, problems = store.all()
    assert len(made) == 4
    assert other not in made
    (problem,) = problems
    assert str(problem) == f"{path}:5: another record of the cell {other.key} in line 1"


def test_a_line_in_the_file_of_another_data_set_is_named(store: Store) -> None:
    path = the_file(store)
    copy = path.with_name("pets.jsonl")
    copy.write_bytes(path.read_bytes())
    made, problems = store.all()
    assert len(made) == 4
    assert {str(problem) for problem in problems} == {
        f"{copy}:{number}: a record in the wrong place; it belongs in {path}"
        for number in (1, 2, 3, 4)
    }


def test_merge_keeps_the_form_of_its_target_and_publish_writes_lines(tmp_path: Path) -> None:
    source = Store(tmp_path / "source")
    for one in RECORDS:
        source.write(one)
    files, lines, new = (Store(tmp_path / name) for name in ("files", "lines", "new"))
    files.write(record("pomp"))
    lines.write_lines([record("pomp")])
    for target in (files, lines, new):
        assert merge(target, [source]).added == 4
    assert (files.has_lines(), lines.has_lines(), new.has_lines()) == (False, True, False)
    assert not list(lines.records.rglob("*.json"))
    assert publish(source, files)[0].known == 4
    assert publish(lines, new)[0].added == 1
    assert new.all()[0] == lines.all()[0]
    assert len(list(new.records.rglob("*.json"))) == 4


def test_a_published_number_takes_the_place_of_a_failure_in_either_form(tmp_path: Path) -> None:
    good, failed = record(), record(failure=Failure("oom", "full"))
    source = Store(tmp_path / "source")
    source.write(good)
    for form in ("files", "lines"):
        target = Store(tmp_path / form)
        if form == "files":
            target.write(failed)
        else:
            target.write_lines([failed])
        assert publish(source, target)[0].replaced == 1
        assert target.all() == ([good], [])
        assert not list(target.records.rglob("*.json"))


def test_every_command_reads_both_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files, lines = Store(tmp_path / "files"), Store(tmp_path / "lines")
    for one in RECORDS:
        files.write(one)
    lines.write_lines(RECORDS)
    pages = []
    for target in (files, lines):
        assert main(["leaderboard", "--output", str(target.root)]) == 0
        pages.append(capsys.readouterr())
    assert pages[0] == pages[1]
    path = the_file(lines)
    path.write_bytes(path.read_bytes()[:-30])
    assert main(["leaderboard", "--output", str(lines.root)]) == 1
    notes = capsys.readouterr().err
    assert notes.startswith(f"rppbench: 1 line does not count as a record:\n  {path}:4: ")


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from support.records import record
from rppbench.records.store import Store
for seed in range(20):
    Store(Path(sys.argv[1])).write_lines([record(sys.argv[2], seed=seed)])
"""


def test_two_publishers_of_one_file_lose_no_line(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    commands = [
        [sys.executable, "-c", WRITER, str(tmp_path), name, tests] for name in ("coop", "rpp")
    ]
    writers = [subprocess.Popen(command) for command in commands]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    made, problems = Store(tmp_path).all()
    assert problems == []
    assert len(made) == 40


def test_a_lock_that_is_held_too_long_is_reported(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LOCK_SECONDS", 0.05)
    with (
        filelock.FileLock(store.records / ".lock"),
        pytest.raises(UsageError, match="another process has been writing to"),
    ):
        Store(store.root).write_lines(RECORDS)


def test_a_line_and_a_file_of_other_data_are_named_until_a_run_replaces_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    old = replace(record(), contents={"flowers:test": "aa"})
    new = replace(record(value=60.0), contents={"flowers:test": "bb"})
    other = record("rpp")
    store.write_lines([old, other])
    path = store.record_path(new.cell)
    path.parent.mkdir(parents=True)
    path.write_bytes(encode(new) + b"\n")  # as a copied folder may have both
    _, problems = store.all()
    (problem,) = problems
    assert "computed from other data (flowers:test)" in problem.reason
    assert str(path) in problem.reason
    assert main(["leaderboard", "--output", str(tmp_path)]) == 1
    assert "computed from other data (flowers:test)" in capsys.readouterr().err
    store.write(new)
    records, problems = store.all()
    assert problems == []
    assert sorted(records, key=lambda one: one.key) == sorted([new, other], key=lambda one: one.key)
