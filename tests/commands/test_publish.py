"""`rppbench publish`, and what every command says of records that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import record

from rppbench.cli import main
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Failure, Record, Score
from rppbench.records.store import Store

RunCommand = Callable[..., tuple[int, str]]


@pytest.fixture
def run_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunCommand:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        status = main(words)
        log = capsys.readouterr().err
        assert "Traceback" not in log
        return status, log

    return run


def fill(folder: str, *records: Record) -> list[Path]:
    return [Store(Path(folder)).write(one) for one in records]


def records(folder: str) -> list[Record]:
    made, problems = Store(Path(folder)).all()
    assert problems == []
    return made


def content(folder: str) -> dict[str, bytes]:
    root = Path(folder) / "records"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.json*")}


def test_good_records_are_copied_and_the_pages_made_from_them(run_command: RunCommand) -> None:
    failed = record("rpp", seed=2, failure=Failure("oom", "out of memory"))
    fill("runs", record("coop"), record("rpp"), failed)
    status, log = run_command("publish", "runs")
    assert status == 0
    assert "2 added, 0 already there, 0 in conflict" in log
    assert "1 failed and were left out; --failed copies them too" in log
    assert "| CoOp |" in Path("leaderboards/cross-dataset.md").read_text()
    assert run_command("publish", "runs", "--failed", "--to", "leaderboards")[0] == 0
    assert records("leaderboards") == records("runs")
    assert set(content("leaderboards")) == {"cross-dataset/flowers.jsonl"}
    lines = content("leaderboards")["cross-dataset/flowers.jsonl"].splitlines(keepends=True)
    assert sorted(lines) == sorted(content("runs").values()), "the same bytes in both forms"


UNSOUND = {
    "a value that its counts are not": (Score("top1", 50.0, 3, 4), "3 of 4 images are right"),
    "more right than there are": (Score("top1", 125.0, 5, 4), "5 of 4 images are right"),
    "outcomes that are not its counts": (
        Score("top1", 50.0, 2, 4, PerImage.of([True, False, False, False])),
        "1 outcomes are right, but 2 are counted",
    ),
    "outcomes that are none": (
        Score("top1", 50.0, 2, 4, PerImage(b'{"outcomes":"!!"}')),
        "outcomes cannot be read",
    ),
    "no main number": (Score("top5", 50.0), "no score of its main metric 'top1'"),
}


@pytest.mark.parametrize("what", UNSOUND)
def test_a_record_that_contradicts_itself_is_named_and_stays(
    run_command: RunCommand, what: str
) -> None:
    score, reason = UNSOUND[what]
    (bad, _) = fill("runs", record("coop", scores=(score,)), record("rpp"))
    before = content("runs")
    status, log = run_command("publish", "runs")
    assert status == 1
    assert f"{bad}: " in log
    assert reason in log
    assert [one.cell.method.name for one in records("leaderboards")] == ["rpp"]
    assert content("runs") == before


def test_a_damaged_record_is_named_and_the_others_are_published(run_command: RunCommand) -> None:
    bad, _ = fill("runs", record("coop"), record("rpp"))
    bad.write_text(bad.read_text().replace("50.0", "99.0"))
    status, log = run_command("publish", "runs")
    assert status == 1
    assert f"{bad}: the content does not match its digest: edited or damaged" in log
    assert len(records("leaderboards")) == 1
    assert "99.0" in bad.read_text()


def test_a_conflict_leaves_both_numbers_where_they_are(run_command: RunCommand) -> None:
    fill("runs", record("coop", value=51.0))
    fill("leaderboards", record("coop", value=50.0))
    before = content("leaderboards")
    status, log = run_command("publish", "runs")
    assert status == 1
    assert "conflict: leaderboards/records/" in log
    assert content("leaderboards") == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "not the folder of a run"),
        (("runs", "--to", "runs"), "published into itself"),
    ],
)
def test_what_cannot_be_published_is_reported(
    run_command: RunCommand, words: tuple[str, ...], message: str
) -> None:
    fill("runs", record())
    status, log = run_command("publish", *words)
    assert status == 2
    assert message in log


def test_the_committed_records_are_sound() -> None:
    from rppbench.records.merge import faults

    records, _ = Store(Path(__file__).parents[2] / "leaderboards").all()
    assert records
    assert [fault for one in records for fault in faults(one)] == []


# --- bad input through the commands -------------------------------------------------------------


def newer(text: str) -> str:
    return text.replace('"schema":2', '"schema":3')


DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "truncated": (lambda text: text[: len(text) // 2], "not complete JSON (cut off?)"),
    "foreign": (lambda text: '{"acc1": 0.5}', "not a record of rppbench"),
    "no mapping": (lambda text: "[]", "not a record of rppbench"),
    "edited": (lambda text: text.replace("50.0", "99.0"), "edited or damaged"),
    "NaN": (lambda text: text.replace("50.0", "NaN"), "NaN is not a measurement"),
    "newer": (newer, "schema 3 is newer than this rppbench, which reads up to 2; upgrade rppbench"),
    "unknown schema": (
        lambda text: text.replace('"schema":2', '"schema":"x"'),
        "unknown record schema 'x'",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("command", ["leaderboard", "compare", "merge"])
def test_bad_input_is_named_counted_skipped_and_kept(
    run_command: RunCommand, kind: str, command: str
) -> None:
    change, reason = DAMAGE[kind]
    score = Score("top1", 50.0, 1, 2, PerImage.of([True, False]))
    good = [record(name, scores=(score,)) for name in ("rpp", "pomp")]
    bad, *_ = fill("runs", record("coop"), *good)
    bad.write_text(change(bad.read_text()))
    before = content("runs")
    words = {
        "leaderboard": ("leaderboard", "--output", "runs"),
        "compare": ("compare", "rpp", "pomp", "--output", "runs"),
        "merge": ("merge", "all", "runs"),
    }
    status, log = run_command(*words[command])
    assert status == 1
    assert "1 file does not count as a record:" in log
    assert f"{bad}: " in log
    assert reason in log
    assert content("runs") == before


def test_a_duplicate_of_a_cell_counts_once_and_is_named(run_command: RunCommand) -> None:
    (path,) = fill("runs", record("coop"))
    copy = path.with_name("again.json")
    copy.write_bytes(path.read_bytes())
    status, log = run_command("leaderboard", "--output", "runs")
    assert status == 1
    assert f"{copy}: a record in the wrong place; it belongs at {path}" in log
    data = json.loads(Path("runs/cross-dataset.json").read_text())
    assert data["tables"][0]["rows"][0]["entries"][0]["values"] == [[1, 50.0]]


def test_a_damaged_file_is_kept_when_its_cell_is_run_again(tmp_path: Path) -> None:
    store, one = Store(tmp_path), record("coop")
    path = store.write(one)
    path.write_text("edited by hand")
    store.write(one)
    assert store.all() == ([one], [])
    assert path.with_name(f"{path.name}.damaged").read_text() == "edited by hand"
    store.write(replace(one, finished="2027-01-01T00:00:00+00:00"))  # good ones are replaced
    assert len(list(path.parent.iterdir())) == 2
