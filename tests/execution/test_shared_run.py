"""Runs in a shared folder: the engine of the documentation, tries, claims, stops and checks."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import jobs
from support.commands import command_line
from support.jobs import ScriptedJob, batch

from rppbench.contracts.engine import Engine, Event
from rppbench.errors import UsageError
from rppbench.execution.cluster import shared_engine
from rppbench.execution.cluster.ray_engine import Ray
from rppbench.execution.cluster.shared_run import (
    RUNS,
    EventReader,
    EventWriter,
    SharedRun,
    open_runs,
)
from rppbench.execution.cluster.slurm import Slurm
from rppbench.records.record import Failure

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    monkeypatch.setattr(shared_engine, "ALIVE_SECONDS", 0.2)
    monkeypatch.setattr(shared_engine, "LOOK_SECONDS", 0.05)


@pytest.fixture
def ssh(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """The engine of the documentation, as it stands there."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    exec(compile(code, "docs/cluster.md", "exec"), module.__dict__)
    (engine,) = module.rppbench_engines()
    return engine


@pytest.fixture
def shell(tmp_path: Path) -> str:
    """A stand-in for ssh: runs the command of any host here."""
    path = tmp_path / "shell"
    path.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    path.chmod(0o755)
    return str(path)


def run(engine: Engine, job: ScriptedJob, *groups: str) -> list[Event]:
    job.folder.mkdir(exist_ok=True)
    events: list[Event] = []
    engine.run(job, [batch(words) for words in groups], events.append)
    return events


def test_the_engine_of_the_documentation_runs_all_cells(
    ssh: type[Any], shell: str, tmp_path: Path
) -> None:
    job = ScriptedJob(tmp_path / "runs")
    engine = ssh(hosts="here+there", shell=shell)
    events = run(engine, job, "a b", "bad-1 c", "kill-1 d", "e")
    ends = {event.key: event.phase for event in events if event.phase in ("done", "failed")}
    expected = {**dict.fromkeys("abcde", "done"), "bad-1": "failed", "kill-1": "failed"}
    assert ends == {jobs.cell(name).key: phase for name, phase in expected.items()}
    # The cell that kills its process was tried three times; its neighbour did not suffer.
    assert (job.folder / "kill-1.failed").read_text().count("WorkerDied") == 3
    assert not (job.folder / "d.failed").exists()
    assert any("try 2 of 3 failed, WorkerDied" in event.message for event in events)
    assert open_runs(job.folder) == []
    (folder,) = (job.folder / RUNS).iterdir()
    assert {path.name for path in folder.iterdir()} == {
        *("events", "logs", "surroundings.json", "workers")
    }


def test_no_batch_starts_after_a_failure(ssh: type[Any], shell: str, tmp_path: Path) -> None:
    job = ScriptedJob(tmp_path / "runs", stop_on_failure=True)
    run(ssh(shell=shell), job, "a", "bad-1 b", "c", "d")
    assert {path.stem for path in job.folder.glob("*.begun")} == {"a", "bad-1"}


def test_a_worker_without_the_data_takes_no_work(
    ssh: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("RPPBENCH_DATA", str(data))
    elsewhere = tmp_path / "shell"
    elsewhere.write_text(f'#!/bin/sh\nshift\nrm -rf {data}\nexec "$@"\n')
    elsewhere.chmod(0o755)
    job = ScriptedJob(tmp_path / "runs")
    with pytest.raises(
        UsageError, match=rf"worker w0 on .* cannot work\nthe folder of data {data}"
    ):
        run(ssh(shell=str(elsewhere)), job, "a")
    assert list(job.folder.glob("*.begun")) == []


def test_workers_that_cannot_start_end_the_run(ssh: type[Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="worker w2 on its machine cannot work\nit left no log"):
        run(ssh(shell="false"), ScriptedJob(tmp_path / "runs"), "a")


def created(tmp_path: Path, *groups: str, retries: int = 1) -> SharedRun:
    job = ScriptedJob(tmp_path)
    return SharedRun.create("test", job, [batch(words) for words in groups], retries)


def test_a_batch_is_claimed_once_and_put_back(tmp_path: Path) -> None:
    run = created(tmp_path, "a b", "c")
    first = run.take("w0", {})
    second = run.take("w0", {})
    assert first
    assert second
    assert {first.number, second.number} == {0, 1}
    first.note(done=jobs.cell("a").key)
    first.end(put_back="preempted")
    again = run.take("w1", {})
    assert again
    assert [cell.dataset for cell in again.open()] == ["b"]
    assert again.history.failures == {}  # to be preempted is no failure
    again.note(done=jobs.cell("b").key)
    again.end()
    assert run.left() == [1]
    run.stop()
    second.end(put_back="stopped")
    assert run.take("w1", {}) is None


def test_a_cell_in_which_workers_die_is_given_up(tmp_path: Path) -> None:
    run = created(tmp_path, "a b", retries=1)
    key = jobs.cell("a").key
    for name in ("w0", "w1"):
        taken = run.take(name, {"host": "far", "log": "x.log"})
        assert taken
        assert [cell.dataset for cell in taken.open()] == ["a", "b"]
        taken.note(start=key)
        run.release(name)  # as if its machine were gone
        taken.claim.release()
    taken = run.take("w2", {})
    assert taken
    assert [cell.dataset for cell in taken.open()] == ["b"]
    failure = Failure("WorkerDied", "worker w0 on far ended during the cell; log: x.log")
    assert taken.history.failures[key][0] == failure
    assert len(taken.history.failures[key]) == 2
    taken.end(put_back="done")


def test_a_partial_line_of_a_killed_worker_is_no_event(tmp_path: Path) -> None:
    run = created(tmp_path, "a")
    reader = EventReader(run)
    writer = EventWriter(run, "w0")
    writer.write(Event("k", "train", 1, 2, {"loss": 0.5}))
    with writer.path.open("ab") as file:
        file.write(b'{"key": "k", "ph')
    assert list(reader.new()) == [Event("k", "train", 1, 2, {"loss": 0.5})]
    writer.write(Event("k", "done"))
    assert [event.phase for event in reader.new()] == ["done"]
    assert list(reader.new()) == []


def test_folders_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RPPBENCH_CACHE", "cache")
    monkeypatch.setenv("PYTHONPATH", "code")
    run = created(Path("runs"), "a")
    assert run.folder.is_absolute()
    given = json.loads((run.folder / "surroundings.json").read_text())
    assert given["variables"]["RPPBENCH_CACHE"] == str(tmp_path / "cache")
    assert given["import_path"] == [str(tmp_path / "code")]
    assert given["folder"] == str(tmp_path)


@pytest.mark.parametrize(
    ("time", "minutes"),
    [("90", 90), ("10:30", 11), ("4:00:00", 240), ("1-2", 1560), ("2-0:5", 2885)],
)
def test_time_limits_are_spelt_as_slurm_spells_them(time: str, minutes: int) -> None:
    assert Slurm(time=time).minutes == minutes


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 5 minutes, not '4:00': a job is warned"):
        Slurm(time="4:00")
    with pytest.raises(UsageError, match="is minutes, H:MM:SS or D-HH:MM:SS, not 'soon'"):
        Slurm(time="soon")
    with pytest.raises(UsageError, match="8 processes cannot be divided among 3 nodes"):
        Slurm(share=8, nodes=3)
    with pytest.raises(UsageError, match="4 processes a node, which need a GPU each, but gpus=2"):
        Slurm(share=8, nodes=2, gpus=2)
    assert Slurm(extra="account=lab;exclusive").extra == {"account": "lab", "exclusive": True}


def test_obstacles_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert Slurm().obstacle().startswith("no sbatch, squeue, scancel, scontrol, srun on this")
    monkeypatch.setattr("rppbench.execution.cluster.ray_engine.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "ray", None)  # importing it fails, as where it is missing
    assert Ray().obstacle() == "ray is not installed: pip install 'rppbench[ray]'"
    assert "1 batch" in Ray(cpus=2).outlook([batch("a")], [None])[0]
    monkeypatch.setattr("rppbench.execution.cluster.ray_engine.find_spec", lambda name: object())
    assert Ray(address="127.0.0.1:1").obstacle().startswith("no Ray cluster answers at 127.0.0.1:1")


def test_a_plan_says_what_the_engine_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("plan", "--method", "zeroshot", "--dataset", "demo-2-clothing")
    monkeypatch.setenv("PATH", "")
    status, text, _ = command_line(
        capsys, *words, "--engine", "slurm:gpus=1,jobs=3", "--device", "cuda"
    )
    assert status == 0
    assert "1 batches" not in text
    assert "engine slurm: 1 batch (cells that share a training) on 1 worker at a time" in text
    assert "4 cores, 16GB of memory, 1 GPUs and 240 minutes of Slurm, 3 jobs at a time" in text
    assert "engine slurm cannot run here: no sbatch" in text
    status, _, log = command_line(capsys, *words, "--engine", "slurm", "--device", "auto")
    assert status == 2
    assert "say cpu or cuda" in log


def test_a_command_reads_a_folder_of_others_as_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle runs code when it is loaded, and anyone may have made a folder of records."""
    run = created(tmp_path, "a")
    folder = run.folder.rename(run.folder.with_name("slurm-1-2-3"))
    (folder / "work.pickle").write_bytes(b"cos\nabort\n(tR.")
    monkeypatch.setattr(Slurm, "obstacle", lambda self: "")
    monkeypatch.setattr(Slurm, "alive", lambda self, run: set())
    status, text, _ = command_line(capsys, "watch", "--output", str(tmp_path))
    assert status == 1
    assert "slurm-1-2-3: 0 of 1 batches over, 0 workers waiting or running" in text
    assert "slurm-1-2-3 has 1 batches left and no workers: issue the command again" in text


def test_the_doctor_knows_which_engines_can_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    status, text, _ = command_line(capsys, "doctor")
    assert status == 0
    assert "  engine inline: ok" in text
    assert "  engine slurm: no sbatch, squeue" in text


def test_only_lasting_workers_can_be_detached_from(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("run", "--method", "zeroshot", "--dataset", "demo-2-faces", "--output", str(tmp_path))
    status, _, log = command_line(capsys, *words, "--detach")
    assert status == 2
    assert "the workers of engine 'inline' end with the command: no --detach" in log
    assert command_line(capsys, "watch", "--output", str(tmp_path))[:2] == (
        0,
        f"no run is under way in {tmp_path}\n",
    )
