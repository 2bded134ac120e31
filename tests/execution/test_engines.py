"""Engines run all batches, survive dead workers and interrupts, and leave no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import jobs
from support.jobs import ScriptedJob, batch, cell

from rppbench.contracts.engine import Engine, Event
from rppbench.errors import UsageError
from rppbench.execution import devices
from rppbench.execution.devices import worker_environments
from rppbench.execution.engines import Inline, Processes
from rppbench.plugins.options import options, parse
from rppbench.plugins.registry import Registry

BOTH = pytest.mark.parametrize("engine", [Inline(), Processes(workers=2)], ids=lambda e: e.name)


def run(engine: Engine, job: ScriptedJob, *cell_groups: str) -> list[Event]:
    """Events of cell_groups that are written as words: 'ok-1 bad-2'."""
    events: list[Event] = []
    engine.run(job, [batch(words) for words in cell_groups], events.append)
    return events


def begun(job: ScriptedJob) -> dict[str, str]:
    """The process that began each cell."""
    return {path.stem: path.read_text() for path in job.folder.glob("*.begun")}


def phases(events: list[Event], *names: str) -> dict[str, str]:
    by_key = {cell(name).key: name for name in names}
    return {by_key[event.key]: event.phase for event in events}


def test_both_engines_are_plugins_and_workers_is_an_option() -> None:
    known = Registry.load().all("engines")
    assert known["inline"] is Inline
    assert known["processes"] is Processes
    assert options(Inline) == {}
    assert options(Processes) == {"workers": 2}
    assert Processes(**parse(Processes, "processes", "workers=3")).workers == 3  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'workers' of 'processes' must be 1 to 1024"):
        parse(Processes, "processes", "workers=0")


@BOTH
def test_every_cell_runs_once_and_failures_stop_nothing(engine: Engine, tmp_path: Path) -> None:
    events = run(engine, ScriptedJob(tmp_path), "a b", "bad-1 c", "d", "e")
    ends = phases(events, "a", "b", "bad-1", "c", "d", "e")
    assert ends == {**dict.fromkeys("abcde", "done"), "bad-1": "failed"}
    assert len(events) == 6


@BOTH
def test_no_batch_starts_after_a_failure_if_the_job_says_so(engine: Engine, tmp_path: Path) -> None:
    job = ScriptedJob(tmp_path, stop_on_failure=True)
    events = run(engine, job, "bad-1 a", "nap-1 b", "c", "d")
    assert "bad-1" in begun(job)
    assert not {"a", "c", "d"} & set(begun(job))
    # What was running may end; inline, nothing else was.
    assert {event.phase for event in events} <= {"failed", "done"}
    assert ("b" in begun(job)) == (engine.name == "processes")


@BOTH
def test_nothing_to_do_is_no_error(engine: Engine, tmp_path: Path) -> None:
    assert run(engine, ScriptedJob(tmp_path)) == []


def test_a_worker_lives_from_batch_to_batch(tmp_path: Path) -> None:
    job = ScriptedJob(tmp_path)
    run(Processes(workers=2), job, "nap-1", "nap-2", "nap-3", "nap-4", "nap-5")
    owners = set(begun(job).values())
    assert len(owners) == 2
    assert str(os.getpid()) not in owners
    assert not any(alive(owner) for owner in owners)


@pytest.mark.parametrize(("deed", "reason"), [("kill", "SIGKILL"), ("exit", "exit status 3")])
def test_a_dead_worker_is_a_failure_of_its_cells_only(
    deed: str, reason: str, tmp_path: Path
) -> None:
    job = ScriptedJob(tmp_path)
    events = run(Processes(workers=1), job, "a", f"b {deed}-1 c", "d", "e")
    ends = phases(events, "a", "b", f"{deed}-1", "c", "d", "e")
    assert ends == {**dict.fromkeys("abde", "done"), f"{deed}-1": "failed", "c": "failed"}
    failed = {path.stem: path.read_text() for path in tmp_path.glob("*.failed")}
    assert set(failed) == {f"{deed}-1", "c"}
    assert all(text.startswith("WorkerDied: ") and reason in text for text in failed.values())
    owners = begun(job)
    assert owners["a"] == owners["b"] != owners["d"] == owners["e"]


def test_a_worker_that_died_between_batches_costs_no_cell(tmp_path: Path) -> None:
    job = ScriptedJob(tmp_path)
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        if event.key == cell("a").key:
            os.kill(int(begun(job)["a"]), signal.SIGKILL)
            time.sleep(0.1)

    engine = Processes(workers=2)
    engine.run(job, [batch("a"), batch("nap-1"), batch("c"), batch("d")], report)
    assert set(phases(events, "a", "nap-1", "c", "d").values()) == {"done"}
    assert not list(tmp_path.glob("*.failed"))


def test_a_reason_to_stop_in_the_parent_ends_the_workers(tmp_path: Path) -> None:
    def report(event: Event) -> None:
        raise KeyboardInterrupt

    job = ScriptedJob(tmp_path)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Processes(workers=2).run(job, [batch("nap-1"), batch("sleep-1")], report)
    assert time.monotonic() - started < 30
    assert not any(alive(owner) for owner in begun(job).values())


@pytest.mark.parametrize("engine", ["inline", "processes"])
def test_an_interrupt_ends_everything_quietly(engine: str, tmp_path: Path) -> None:
    """As from a terminal: the signal is sent to all processes of the group."""
    process, owners = start(engine, tmp_path, 1 if engine == "inline" else 2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == ""
    assert not any(alive(owner) for owner in owners)


def test_an_interrupt_leaves_it_to_the_parent_to_end_a_worker(tmp_path: Path) -> None:
    events = run(Processes(workers=1), ScriptedJob(tmp_path), "interrupt-1 a")
    assert phases(events, "interrupt-1", "a") == {"interrupt-1": "done", "a": "done"}


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    process, owners = start("processes", tmp_path, 2)
    process.kill()
    _, errors = process.communicate(timeout=30)  # ends when no worker holds stderr open
    assert errors == ""
    wait_for(lambda: not any(alive(owner) for owner in owners))


@pytest.mark.slow
def test_both_engines_make_the_same_records(tmp_path: Path) -> None:
    # Imported here: they load torch, which no other test needs.
    from support import toy_plugin, toy_runner

    from rppbench.planning.plan import cell_groups

    models = tmp_path / "models"
    toy_plugin.save_tiny(models)
    planned = toy_runner.toy_cells(models, "context:both=on", "context", "fixed")
    runs = []
    for engine in (Inline(), Processes(workers=2)):
        runner = toy_runner.ToyRunner(tmp_path / engine.name, batch_size=5, models=models)
        events: list[Event] = []
        engine.run(runner, cell_groups(planned), events.append)
        ends = [event for event in events if event.phase == "done"]
        assert {event.key for event in ends} == {cell.key for cell in planned}
        runs.append([runner.store.read(cell) for cell in planned])
    inline, processes = ([record and record.measured() for record in run] for run in runs)
    assert inline == processes
    assert None not in inline
    assert {record and record.environment["threads"] for record in runs[1]} == {"1"}


def test_cores_are_divided_among_the_workers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(jobs.THREADS)
    monkeypatch.setattr(devices, "cores", lambda: 7)
    events = run(Processes(workers=3), ScriptedJob(tmp_path), "a", "b", "c", "d")
    assert {event.metrics["threads"] for event in events} == {2.0}
    assert jobs.THREADS not in os.environ
    assert worker_environments("cpu", 5, 1) == [{jobs.THREADS: "7"}]
    assert worker_environments("cpu", 9, 9) == [{jobs.THREADS: "1"}] * 9
    monkeypatch.setenv(jobs.THREADS, "4")
    assert worker_environments("cpu", 2, 9) == [{}, {}]


def test_workers_take_the_visible_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    seen = [place.get("CUDA_VISIBLE_DEVICES") for place in worker_environments("cuda", 3, 9)]
    assert seen == ["2", "5", "2"]
    assert worker_environments("cpu", 2, 9) == worker_environments("cuda:1", 2, 9) == [{}, {}]


def start(engine: str, folder: Path, sleepers: int) -> tuple[subprocess.Popen[str], list[str]]:
    """Start a run in its own process group; return when this many of its cells sleep."""
    process = subprocess.Popen(
        [sys.executable, jobs.__file__, engine, str(folder)],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    job = ScriptedJob(folder)
    wait_for(lambda: len([owner for owner in begun(job).values() if owner]) == sleepers)
    return process, list(begun(job).values())


def wait_for(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")  # an orphan may stay as a zombie if no process reaps it
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
