"""`rppbench merge`: what is added, what is kept, what is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import record

from rppbench.cli import main
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Cost, Failure, Record, Score
from rppbench.records.store import Store

Merge = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Merge:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, list[str]]:
        status = main(["merge", *words])
        printed, notes = capsys.readouterr()
        assert printed == ""
        assert "Traceback" not in notes
        return status, notes.splitlines()

    return run


def fill(folder: str, *records: Record) -> dict[str, bytes]:
    for one in records:
        Store(Path(folder)).write(one)
    return content(folder)


def content(folder: str) -> dict[str, bytes]:
    root = Path(folder) / "records"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.json")}


def test_records_of_several_folders_come_together_with_their_pages(merge: Merge) -> None:
    one = fill("one", record("coop"), record("rpp"))
    two = fill("two", record("coop", seed=2), record("rpp"))
    status, notes = merge("all/mine", "one", "two")
    assert status == 0
    assert notes == [
        "records: 3 added, 1 already there, 0 in conflict and left as they are; 3 in all/mine"
    ]
    assert content("all/mine") == one | two
    assert "| CoOp | **50.0** ± 0.0 |" in Path("all/mine/cross-dataset.md").read_text()
    assert merge("all/mine", "one", "two")[0] == 0
    assert (content("one"), content("two")) == (one, two)


def test_two_numbers_of_one_cell_are_named_and_neither_is_touched(merge: Merge) -> None:
    ours = fill("ours", record("coop", value=50.0))
    theirs = fill("theirs", record("coop", value=51.0), record("rpp"))
    status, notes = merge("ours", "theirs")
    assert status == 1
    (place,) = ours
    assert notes == [
        f"rppbench: conflict: ours/records/{place}: top1 is 50.00 here, 51.00 in "
        f"theirs/records/{place}",
        "records: 1 added, 0 already there, 1 in conflict and left as they are; 2 in ours",
    ]
    assert content("ours")[place] == ours[place]
    assert content("theirs") == theirs


def test_the_same_number_from_other_outcomes_is_a_conflict_too(merge: Merge) -> None:
    for folder, right in (("ours", [True, False]), ("theirs", [False, True])):
        fill(folder, record(scores=(Score("top1", 50.0, 1, 2, PerImage.of(right)),)))
    status, notes = merge("ours", "theirs")
    assert status == 1
    assert "the same main number, but other outcomes or metrics" in notes[0]


def test_other_cost_and_time_are_not_a_conflict(merge: Merge) -> None:
    ours = fill("ours", record())
    fill("theirs", replace(record(), cost=Cost(train_seconds=99.0), finished="2027-01-01"))
    assert merge("ours", "theirs")[0] == 0
    assert content("ours") == ours


def test_a_number_takes_the_place_of_a_failure_from_either_side(merge: Merge) -> None:
    failed = record(failure=Failure("oom", "full"))
    fill("small", failed)
    good = fill("large", record())
    status, notes = merge("large", "small")
    assert (status, content("large")) == (0, good)
    assert "1 already there" in notes[-1]
    status, notes = merge("small", "large")
    assert (status, content("small")) == (0, good)
    assert "0 added, 1 in place of a failure, 0 already there" in notes[-1]


def test_a_damaged_file_is_named_and_stays(merge: Merge) -> None:
    (place,) = fill("ours", record("coop"))
    fill("theirs", record("coop"), record("rpp"))
    for folder, victim in (("ours", "coop"), ("theirs", "rpp")):
        (path,) = (Path(folder) / "records").rglob(f"{victim}/*.json")
        path.write_text("{")
    status, notes = merge("ours", "theirs")
    assert status == 1
    assert notes[0] == "rppbench: 2 files do not count as a record:"
    assert (
        f"conflict: ours/records/{place}: is not a record, but occupies the place of one"
        in notes[3]
    )
    assert content("ours") == {place: b"{"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ours", "nowhere"), "no folder nowhere/records"),
        (("ours", "theirs", "./ours"), "ours cannot be merged into itself"),
        (("file", "theirs"), "cannot write to file"),
        (("ours",), "the following arguments are required: FROM"),
    ],
)
def test_mistakes_are_messages_and_change_nothing(
    merge: Merge, words: tuple[str, ...], expected: str
) -> None:
    ours = fill("ours", record("coop"))
    fill("theirs", record("rpp"))
    Path("file").write_text("in the way")
    status, notes = merge(*words)
    assert status == 2
    assert expected in notes[0]
    assert content("ours") == ours


def test_records_of_other_data_are_a_conflict_even_if_the_numbers_are_equal(merge: Merge) -> None:
    here, there = ({"flowers:test": one, "flowers:classes": "same"} for one in ("aa", "bb"))
    ours = fill("ours", replace(record(), contents=here))
    fill("theirs", replace(record(), contents=there))
    status, notes = merge("ours", "theirs")
    assert status == 1
    (place,) = ours
    assert notes[0] == (
        f"rppbench: conflict: ours/records/{place}: computed from other data (flowers:test) than "
        f"the record in theirs/records/{place}"
    )
    assert content("ours") == ours


def test_an_unverified_record_agrees_with_a_verified_one_of_the_same_number(merge: Merge) -> None:
    contents = {"flowers:test": "aa"}
    for one, two in (({}, contents), (contents, {})):
        folder = f"with-{len(one)}"
        ours = fill(f"{folder}/ours", replace(record(), contents=one))
        fill(f"{folder}/theirs", replace(record(), contents=two))
        assert merge(f"{folder}/ours", f"{folder}/theirs")[0] == 0
        assert content(f"{folder}/ours") == ours
