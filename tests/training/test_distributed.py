"""Two processes that share a training learn what one does, and end together if one fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.distributed import SETTINGS, ProcessPair
from support.toy_plugin import save_tiny

from rppbench.records.cell import Cell
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.training.distributed import ALONE, Group
from rppbench.training.state import learned_parameters

METHODS = (
    "context",
    "context:both=on",
    "context:sampled=4,both=on",
    "context:kd=on",
    "coupled",
    "clip-adapter",
    "cocoop",
    "promptkd:depth=2,length=2,kd_weight=10",
    "promptsrc:depth=2,length=2",
)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessPair:
    save_tiny(tmp_path / "models")
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return ProcessPair(tmp_path)


def record(output: Path, cell: Cell) -> Record:
    stored = Store(output).read(cell)
    assert stored is not None
    return stored


def prompts(output: Path, cell: Cell) -> dict[str, torch.Tensor]:
    assert cell.training is not None
    return learned_parameters(Store(output).training_path(cell.training), cell.training.key)


def test_two_processes_learn_the_prompts_of_one(pair: ProcessPair) -> None:
    work = pair.plan(*METHODS)
    assert len(work) == len(METHODS)
    check_same(pair, work)
    helper = pair.folder / "two" / "process1"
    assert not (helper / "records").exists()
    assert not (helper / "prompts").exists()


def test_two_processes_take_steps_of_several_shards(pair: ProcessPair) -> None:
    settings = (*SETTINGS, ("recipe.batch", "2"), ("recipe.shards", "2"))
    work = pair.plan("context:sampled=4,both=on", "context:kd=on", settings=settings)
    check_same(pair, work)
    for cell in work:
        assert record(pair.folder / "two", cell).cost.steps == 3 * 2


def check_same(pair: ProcessPair, work: list[Cell]) -> None:
    """Run the cells in one process and in two: prompts, answers and log are the same."""
    pair.alone(work)
    pair.run(work)
    one, two = pair.folder / "one", pair.folder / "two"
    for cell in work:
        expected, shared = record(one, cell), record(two, cell)
        assert (shared.status, shared.failure) == ("ok", None), cell.method
        assert shared.environment["processes"] == "2"
        assert "processes" not in expected.environment
        stored = prompts(two, cell)
        for name, value in prompts(one, cell).items():
            torch.testing.assert_close(stored[name], value, rtol=0, atol=1e-5)
        top1, same = expected.score(), shared.score()
        assert top1 is not None
        assert same is not None
        assert same.outcomes() == top1.outcomes() is not None
        for ours, theirs in zip(shared.training_log, expected.training_log, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-4)


def test_what_one_process_fails_in_is_in_the_record_and_the_next_cell_runs(
    pair: ProcessPair,
) -> None:
    work = pair.plan("breaking", "exploding", "context", seeds=(1,))
    events = pair.run(work)
    assert [event.phase for event in events if event.phase in ("done", "failed")] == [
        "failed",
        "failed",
        "done",
    ]
    broken, exploded, good = (record(pair.folder / "two", cell) for cell in work)
    assert broken.failure is not None
    assert broken.failure.kind == "OSError"
    assert broken.failure.message == "in process 1: the disk of this process is gone"
    assert "Traceback" in broken.failure.details
    assert exploded.failure is not None
    assert exploded.failure.kind == "nan"
    assert "became inf at step 3 of 6 (epoch 1)" in exploded.failure.message
    assert "parameter norms: context " in exploded.failure.message
    assert good.status == "ok"


def test_a_process_that_dies_ends_the_run_with_a_record_that_says_so(pair: ProcessPair) -> None:
    work = pair.plan("dying", "context")
    pair.run(work)
    dead = record(pair.folder / "two", work[0])
    assert dead.failure is not None
    assert dead.failure.kind == "process-lost"
    assert "another process of this training is gone" in dead.failure.message
    assert Store(pair.folder / "two").read(work[1]) is None  # left for the next run


def test_a_shared_training_goes_on_where_it_was_killed(pair: ProcessPair) -> None:
    (cell,) = work = pair.plan("context:both=on")
    pair.run(work, "complete")
    pair.run(work, "two", kill=4)
    assert Store(pair.folder / "two").read(cell) is None
    events = pair.run(work, "two")
    first = next(event for event in events if event.phase == "train")
    assert first.done in (4, 5)
    complete, again = (prompts(pair.folder / name, cell) for name in ("complete", "two"))
    assert all(torch.equal(again[name], value) for name, value in complete.items())
    ours, theirs = (record(pair.folder / name, cell).measured() for name in ("complete", "two"))
    assert ours == theirs


def test_a_batch_that_is_too_small_for_the_processes_is_refused_in_words(pair: ProcessPair) -> None:
    settings = (("recipe.batch", "1"), ("recipe.epochs", "1"))
    (cell,) = work = pair.plan("context:both=on", settings=settings)
    pair.run(work)
    refused = record(pair.folder / "two", cell).failure
    assert refused is not None
    assert refused.kind == "usage"
    assert refused.message == (
        "a step with 1 images cannot be shared by 2 processes; start at most 1"
    )


def test_shares_are_everything_once() -> None:
    groups = [Group(rank, 3) for rank in range(3)]
    assert sorted(torch.cat([g.share(7, "images") for g in groups]).tolist()) == list(range(7))
    parts = [group.batches(10, 4).tolist() for group in groups]
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [Group(rank, 3).batches(3, 4).tolist() for rank in range(3)] == [[0, 1, 2], [], []]
    assert ALONE.share(3, "images").tolist() == ALONE.batches(3, 2).tolist() == [0, 1, 2]


@pytest.mark.slow
def test_torchrun_runs_the_command_on_all_processes(tmp_path: Path) -> None:
    words = "--task few-shot --dataset demo-2-clothing --shots 1 --limit 5"
    launch = "-m torch.distributed.run --standalone --nproc_per_node 2"
    command = f"{launch} -m rppbench run --method coop {words} --output runs".split()
    environment = {**os.environ, "RPPBENCH_CACHE": str(tmp_path / "cache")}
    for line in ("1 done, 0 had a record", "0 done, 1 had a record"):  # and none waits for work
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(line) == 1
        assert done.stdout.count("# Few-shot") == 1
    (stored,), problems = Store(tmp_path / "runs").all()
    assert not problems
    assert (stored.status, stored.environment["processes"]) == ("ok", "2")
