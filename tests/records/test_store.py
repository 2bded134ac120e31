import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rppbench.files import atomic
from rppbench.files.atomic import STALE_SECONDS, write_atomically
from rppbench.records.cell import Cell, Choice, Training
from rppbench.records.codec import encode
from rppbench.records.record import Failure, Record, Score
from rppbench.records.store import Store

CELL = Cell(
    task=Choice("cross-dataset", (("suite", "demo-2"),)),
    dataset="flowers",
    method=Choice("zeroshot"),
    backbone="demo",
    precision="fp32",
    seed=1,
    limit=None,
    training=None,
)
OK = Record(CELL, "ok", "top1", (Score("top1", 50.0, 1, 2),))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def test_what_was_written_is_read_and_listed(store):
    other = replace(OK, cell=replace(CELL, seed=2))
    store.write(OK)
    store.write(other)
    assert store.read(CELL) == OK
    assert store.all() == ([OK, other], [])
    assert store.read(replace(CELL, seed=3)) is None


def test_an_empty_or_absent_folder_holds_no_records(tmp_path):
    assert Store(tmp_path / "nowhere").all() == ([], [])


def test_a_failed_record_stays_visible_and_is_replaced_by_a_good_one(store):
    failed = replace(OK, status="failed", scores=(), failure=Failure("oom", "out of memory"))
    store.write(failed)
    assert store.read(CELL) == failed
    assert store.all() == ([failed], [])
    store.write(OK)
    assert store.all() == ([OK], [])


def test_the_path_follows_from_the_cell_and_stays_inside_the_store(store):
    odd = replace(CELL, dataset="../../etc/pass wd", method=Choice("..", ()))
    path = store.write(replace(OK, cell=odd))
    assert path == Store(store.root).record_path(odd)
    assert store.records.resolve() in path.resolve().parents
    assert store.read(odd) is not None
    assert path.name == f"seed1-{odd.key}.json"


def test_prompts_of_one_training_have_one_place(store):
    training = Training(CELL.method, Choice("r"), "flowers", "all", 16, 1, "demo", None, "fp32")
    assert store.training_path(training) == store.root / "prompts" / f"{training.key}.safetensors"


def edited(text: str) -> str:
    return text.replace('"value":50.0', '"value":99.0')


DAMAGE = {
    "empty": (lambda text: "", "JSON"),
    "cut off": (lambda text: text[: len(text) // 2], "JSON"),
    "foreign object": (lambda text: '{"results": []}', "'schema' is missing"),
    "foreign list": (lambda text: "[1, 2]", "not a JSON object"),
    "edited": (edited, "digest"),
    "NaN": (lambda text: text.replace("50.0", "NaN"), "NaN"),
    "later schema": (lambda text: text.replace('"schema":2', '"schema":99'), "schema 99"),
    "too deep": (lambda text: "[" * 100_000, "not a record"),
    "not text": (lambda text: "\udcff", "UTF-8"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_or_foreign_file_is_named_and_hides_no_other(store, kind):
    change, reason = DAMAGE[kind]
    other = replace(OK, cell=replace(CELL, seed=2))
    store.write(other)
    path = store.write(OK)
    path.write_text(change(path.read_text()), errors="surrogateescape")
    records, problems = store.all()
    assert records == [other]
    assert [problem.path for problem in problems] == [path]
    assert reason in problems[0].reason
    assert str(path) in str(problems[0])
    assert store.read(CELL) is None


def test_a_copied_record_is_named_and_counts_once(store):
    path = store.write(OK)
    copy = path.with_name("copy.json")
    copy.write_bytes(path.read_bytes())
    records, problems = store.all()
    assert records == [OK]
    assert problems[0].path == copy
    assert str(path) in problems[0].reason


def test_a_folder_that_looks_like_a_record_is_named(store):
    (store.records / "folder.json").mkdir(parents=True)
    assert [problem.path.name for problem in store.all()[1]] == ["folder.json"]


def test_a_number_that_json_does_not_know_is_refused_before_anything_is_written(store):
    store.write(OK)
    with pytest.raises(ValueError, match="nan is not a measurement"):
        store.write(replace(OK, scores=(Score("top1", float("nan")),)))
    assert store.read(CELL) == OK


def test_leftovers_of_dead_writers_are_swept_and_nothing_else(store, monkeypatch):
    path = store.write(OK)
    stale, fresh, foreign = (
        path.with_name(f".{name}.tmp") for name in ("x.json." + "0" * 32, "y.json." + "1" * 32, "z")
    )
    for leftover in (stale, fresh, foreign):
        leftover.write_text("half")
    old = time.time() - STALE_SECONDS - 10
    os.utime(stale, (old, old))
    os.utime(foreign, (old, old))
    store.write(OK)
    assert stale.exists(), "the folder was swept a moment ago"
    monkeypatch.setattr(atomic, "_swept", {})  # as in another process
    store.write(OK)
    assert not stale.exists()
    assert fresh.exists()
    assert foreign.exists()
    assert store.all() == ([OK], [])


def test_a_failing_write_leaves_the_old_text_and_no_leftover(tmp_path):
    path = tmp_path / "page.md"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\udcff")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_store import OK
from rppbench.records.store import Store
store = Store(Path(sys.argv[1]))
n = 0
while True:
    n += 1
    store.write(replace(OK, environment={str(i): str(n) for i in range(2000)}))
    if n == 1:
        print("writing", flush=True)
"""


def test_killing_a_writer_at_any_moment_leaves_a_complete_record(store):
    for attempt in range(5):
        paths = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
        command = [sys.executable, "-c", WRITER, str(store.root), *paths]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            end = time.monotonic() + 0.05 + 0.037 * attempt
            while time.monotonic() < end:  # readers see complete records all the while
                assert store.read(CELL) is not None
            writer.send_signal(signal.SIGKILL)
        records, problems = store.all()
        assert problems == []
        (record,) = records
        assert len(set(record.environment.values())) == 1
        assert len(encode(record)) > 2000


def test_records_and_leaderboards_need_neither_torch_nor_numpy():
    code = (
        "import sys, rppbench.records.store, rppbench.records.outcomes;"
        "import rppbench.stats.intervals, rppbench.leaderboard.build;"
        "print([name for name in ('torch', 'mmengine', 'open_clip', 'numpy', 'scipy')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
