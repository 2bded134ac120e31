"""Trackers see a run and change nothing in it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from support.commands import RunCommand

from rppbench.contracts.engine import Event
from rppbench.execution.tracking import TRACKERS, Tracked
from rppbench.records.record import Record
from rppbench.records.store import Store

RUN = ("run", "--method", "context", "--task", "cross-dataset:suite=toy", "--model", "tiny")


def test_tensorboard_can_read_the_course_and_the_records_are_the_same(
    run_command: RunCommand, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run_command(*RUN, "--output", "plain")[0] == 0
    assert (
        run_command(*RUN, "--output", "seen", "--track", f"tensorboard:{tmp_path / 'board'}")[0]
        == 0
    )
    plain, seen = (Store(tmp_path / name).all()[0] for name in ("plain", "seen"))
    assert [r.measured() for r in plain] == [r.measured() for r in seen]
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    tags = board.Tags()["scalars"]
    (loss,) = [tag for tag in tags if tag.endswith("/train/loss")]
    steps = [scalar.step for scalar in board.Scalars(loss)]
    assert steps == list(range(1, seen[0].cost.steps + 1))
    scores = {board.Scalars(tag)[0].value for tag in tags if tag.endswith("/done/top1")}
    assert sorted(scores) == pytest.approx(sorted({r.scores[0].value for r in seen}), rel=1e-6)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_without_its_package_is_one_message(run_command: RunCommand, name: str) -> None:
    if find_spec(TRACKERS[name][1]):
        pytest.skip(f"{name} is installed")
    status, _, errors = run_command(*RUN, "--track", name)
    assert status == 2
    assert f"pip install {TRACKERS[name][1]}" in errors
    assert not Path("runs").exists()


def tracked(run_command: RunCommand, folder: Path, name: str) -> Record:
    """The record of a run that a tracker watched, which is the same as of a plain one."""
    assert run_command(*RUN, "--dataset", "toy-one", "--output", "plain")[0] == 0
    status, _, errors = run_command(*RUN, "--dataset", "toy-one", "--track", f"{name}:{folder}")
    assert status == 0
    assert "tracker failed" not in errors
    ((plain,), _), ((seen,), _) = (Store(Path(where)).all() for where in ("plain", "runs"))
    assert plain.measured() == seen.measured()
    return seen


def test_mlflow_holds_every_loss_and_score(run_command: RunCommand, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    folder = tmp_path / "board"
    record = tracked(run_command, folder, "mlflow")
    mlflow.end_run()
    client = mlflow.MlflowClient(f"file://{folder}")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (loss,) = [name for name in run.data.metrics if name.endswith("/train/loss")]
    steps = [point.step for point in client.get_metric_history(run.info.run_id, loss)]
    assert steps == list(range(1, record.cost.steps + 1))
    (score,) = [v for name, v in run.data.metrics.items() if name.endswith("/done/top1")]
    assert score == pytest.approx(record.scores[0].value)


def test_wandb_offline_holds_every_loss_and_score(
    run_command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    record = tracked(run_command, tmp_path / "board", "wandb")
    summary = dict(wandb.run.summary)
    wandb.finish()
    (path,) = (tmp_path / "board").glob("wandb/offline-run-*/run-*.wandb")
    (score,) = [value for name, value in summary.items() if name.endswith("/done/top1")]
    assert score == pytest.approx(record.scores[0].value)
    # Its own format, whose reader is no part of its interface; names stand in it as they are.
    assert path.read_bytes().count(b"/train/loss") >= record.cost.steps


def test_an_unknown_tracker_lists_those_there_are(run_command: RunCommand) -> None:
    status, _, errors = run_command(*RUN, "--track", "tensorbord")
    assert status == 2
    assert "did you mean 'tensorboard'" in errors


@pytest.mark.parametrize("name", TRACKERS)
def test_mmengine_has_every_back_end(name: str, tmp_path: Path) -> None:
    from mmengine import visualization

    backend = getattr(visualization, TRACKERS[name][0])(save_dir=str(tmp_path / name))
    assert callable(backend.add_scalars)


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on() -> None:
    class Down:
        def add_scalars(self, values: object, step: int) -> None:
            raise OSError("no network")

    events: list[Event] = []
    warnings: list[str] = []
    tracked = Tracked(events.append, Down(), {}, warnings.append)
    for step in (1, 2):
        tracked(Event("k", "train", step, 2, {"loss": 1.0}))
    tracked.close()
    assert len(events) == 2
    assert warnings == ["warning: the tracker failed and gets no further events: no network"]
