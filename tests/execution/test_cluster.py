"""Engines slurm and ray on a real Slurm and a real Ray, whose workers, jobs and nodes die."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support import toy_plugin
from support.clusters.cluster_runner import ClusterRunner, grid
from support.clusters.processes import all_pids, descendants, kill, title
from support.clusters.ray_cluster import RayCluster
from support.clusters.slurm_cluster import NoSlurm, SlurmCluster
from support.commands import command_line
from support.jobs import ScriptedJob, cell

from rppbench.contracts.engine import CellGroup, Engine, Event
from rppbench.execution.cluster import shared_engine
from rppbench.execution.cluster.ray_engine import Ray
from rppbench.execution.cluster.shared_run import RUNS
from rppbench.execution.cluster.slurm import Slurm
from rppbench.execution.engines import Inline
from rppbench.planning.plan import cell_groups
from rppbench.records.record import Record
from rppbench.records.store import Store

pytestmark = pytest.mark.cluster
SEED = 11
"""Seed of the moments at which something is killed."""
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def _surroundings() -> Iterator[None]:
    """Workers import the helpers of tests."""
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setattr(shared_engine, "ALIVE_SECONDS", 1.0)
        patch.setattr(shared_engine, "LOOK_SECONDS", 0.2)
        yield


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    pytest.importorskip("submitit")
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    with pytest.MonkeyPatch.context() as patch:
        try:
            cluster.start()
            for name, value in cluster.environment().items():
                patch.setenv(name, value)
            yield cluster
        except NoSlurm as reason:
            pytest.skip(str(reason))
        finally:
            cluster.stop()


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[RayCluster]:
    if find_spec("ray") is None:  # importing it would be too early: it reads the environment
        pytest.skip("ray is not installed")
    cluster = RayCluster()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[CellGroup]]:
    """The folder of models, and the batches of a grid of 62 cells."""
    models = tmp_path_factory.mktemp("models")
    toy_plugin.save_tiny(models)
    cells = grid(models)
    assert len(cells) >= 60
    return models, cell_groups(cells)


def runner(output: Path, models: Path, **options: Any) -> ClusterRunner:
    output.mkdir(parents=True, exist_ok=True)
    return ClusterRunner(output, batch_size=5, models=models, **options)


def records(output: Path) -> dict[str, Record]:
    stored, problems = Store(output).all()
    assert problems == []
    return {record.key: record for record in stored}


def measured(output: Path) -> Mapping[str, dict[str, Any]]:
    return {key: record.measured() for key, record in records(output).items()}


@pytest.fixture(scope="module")
def undisturbed(
    world: tuple[Path, list[CellGroup]], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, dict[str, Any]]:
    models, batches = world
    output = tmp_path_factory.mktemp("undisturbed")
    Inline().run(runner(output, models), batches, lambda event: None)
    expected = measured(output)
    assert {record["status"] for record in expected.values()} == {"ok"}
    return expected


class Disturbances:
    """A callback for events that calls one disturbance after the other as cells end."""

    def __init__(self, cells: int, disturb: list[Callable[[], object]]) -> None:
        moments = sorted(Random(SEED).sample(range(3, cells * 2 // 3), len(disturb)))
        self.left = list(zip(moments, disturb, strict=True))
        self.phases: Counter[str] = Counter()
        self.failures: list[str] = []

    def __call__(self, event: Event) -> None:
        self.phases[event.phase] += 1
        if event.message:
            self.failures.append(event.message)
        while self.left and self.phases["done"] >= self.left[0][0]:
            self.left.pop(0)[1]()


def check_retried(output: Path, undisturbed: Mapping[str, dict[str, Any]]) -> list[Record]:
    """The records, which are those of an undisturbed run although workers died."""
    assert measured(output) == undisturbed
    stored = list(records(output).values())
    tried = [record for record in stored if record.earlier]
    assert {one.kind for record in tried for one in record.earlier} == {"WorkerDied"}
    assert {record.environment["worker"] for record in stored} > {"w0", "w1"}
    return stored


def kill_one(pids: list[int]) -> None:
    """Kill a process that runs cells: the last, which is a child of a worker."""
    kill(max(pids))


def job_ids(slurm: SlurmCluster) -> list[str]:
    return slurm.output("squeue", "--noheader", "--states=R", "--array", "--format=%i").split()


@pytest.fixture
def hurry(slurm: SlurmCluster) -> Iterator[None]:
    """Jobs that are queued again start at once."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(1.0):
            slurm.hurry()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.mark.usefixtures("hurry")
def test_kills_on_slurm_change_no_record(
    slurm: SlurmCluster,
    world: tuple[Path, list[CellGroup]],
    undisturbed: Mapping[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    models, batches = world

    def lose_node() -> None:
        slurm.kill_node("two")
        slurm.start_node("two")

    report = Disturbances(
        len(undisturbed),
        [
            lambda: kill_one(slurm.running()),
            lambda: slurm.output("scancel", job_ids(slurm)[0]),
            lambda: slurm.output("scancel", "--signal=USR2", job_ids(slurm)[0]),
            lose_node,
            lambda: kill_one(slurm.running()),
        ],
    )
    engine = Slurm(memory="500MB", cpus=1, jobs=2, time="10", retries=10)
    engine.run(runner(tmp_path / "runs", models), batches, report)
    assert report.left == []
    assert any("worker died: SIGKILL" in line for line in report.failures)
    for record in check_retried(tmp_path / "runs", undisturbed):  # the job that made it
        log = tmp_path / "runs" / record.environment["log"]
        assert record.environment["job"] in log.name
        assert log.exists()
    (folder,) = (tmp_path / "runs" / RUNS).iterdir()
    logs = "".join(path.read_text() for path in (folder / "logs").glob("*.out"))
    assert "Requeued job" in logs


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.usefixtures("hurry")
def test_a_job_at_its_time_limit_is_queued_again_and_resumes(
    slurm: SlurmCluster,
    world: tuple[Path, list[CellGroup]],
    undisturbed: Mapping[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    """Slurm itself warns the job; its limit of ten minutes is shortened while it trains."""
    models, batches = world
    steps, signals = tmp_path / "steps.txt", []

    def logged() -> bool:
        logs = [path.read_text() for path in (tmp_path / RUNS).glob("*/logs/*.out")]
        return "Caught signal SIGUSR2" in "".join(logs)

    def reach_the_limit() -> None:
        wait_until(lambda: steps.exists() and steps.read_text().count("\n") >= 2, 300)
        slurm.let_time_run_out()
        wait_until(logged, 120)  # Slurm looks at time limits every 30 seconds
        signals.append(steps.read_text().splitlines()[-1])
        slurm.limit_time(10)

    limiter = threading.Thread(target=reach_the_limit)
    limiter.start()
    engine = Slurm(memory="500MB", cpus=1, jobs=1, time="10")
    engine.run(runner(tmp_path, models, rest=20.0), batches[:1], lambda event: None)
    limiter.join()
    (last,) = signals  # the step before the signal
    done = [int(line.split()[1]) for line in steps.read_text().splitlines()]
    last_step = int(last.split()[1])
    assert 2 <= last_step < max(done)
    assert done.count(1) == 1  # the second job began at the last saved step
    assert done[done.index(last_step) + 1 :] in (
        list(range(last_step, max(done) + 1)),
        list(range(last_step + 1, max(done) + 1)),
    )
    expected = {one.key: undisturbed[one.key] for one in batches[0]}
    assert measured(tmp_path) == expected
    assert all(record.earlier == () for record in records(tmp_path).values())


def test_kills_on_ray_change_no_record(
    ray_cluster: RayCluster,
    world: tuple[Path, list[CellGroup]],
    undisturbed: Mapping[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    models, batches = world

    def running(name: str) -> list[int]:
        """Processes of actors, or their children."""
        actors = [pid for pid in all_pids() if title(pid).startswith("ray::_Actor")]
        return actors if name == "actor" else descendants(actors)

    def lose_actors() -> None:
        """Both at once: one would make all that is left before another has started."""
        for pid in running("actor"):
            kill(pid)

    report = Disturbances(
        len(undisturbed),
        [
            lambda: kill_one(running("child")),
            lose_actors,
            lambda: ray_cluster.kill_node(),
            lambda: ray_cluster.add_node(),
            lambda: kill_one(running("child")),
        ],
    )
    engine = Ray(address=ray_cluster.address, retries=10)
    engine.run(runner(tmp_path / "runs", models), batches, report)
    assert report.left == []
    check_retried(tmp_path / "runs", undisturbed)


@pytest.mark.usefixtures("hurry")
def test_two_engines_on_one_folder_learn_nothing_twice(
    slurm: SlurmCluster,
    ray_cluster: RayCluster,
    world: tuple[Path, list[CellGroup]],
    undisturbed: Mapping[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    models, batches = world
    batches = batches[:8]
    engines: list[Engine] = [
        Slurm(memory="500MB", cpus=1, jobs=1, time="10"),
        Ray(address=ray_cluster.address, workers=1),
    ]
    threads = [
        threading.Thread(
            target=one.run,
            args=(runner(tmp_path, models, rest=0.05), batches, lambda event: None),
        )
        for one in engines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    steps = Counter((tmp_path / "steps.txt").read_text().splitlines())
    assert set(steps.values()) == {1}
    keys = {one.key for batch in batches for one in batch}
    assert measured(tmp_path) == {key: undisturbed[key] for key in keys}


@pytest.mark.parametrize("name", ["slurm", "ray"])
def test_no_batch_starts_after_a_failure(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    engine: Engine
    if name == "slurm":
        request.getfixturevalue("slurm")
        engine = Slurm(memory="500MB", cpus=1, jobs=1, time="10")
    else:
        engine = Ray(address=request.getfixturevalue("ray_cluster").address, workers=1)
    job = ScriptedJob(tmp_path, stop_on_failure=True)
    events: list[Event] = []
    words = ("ok-1", "bad-1", "ok-2", "ok-3")
    engine.run(job, [(cell(word),) for word in words], events.append)
    assert {path.stem for path in tmp_path.glob("*.begun")} == {"ok-1", "bad-1"}
    assert [event.phase for event in events] == ["done", "failed"]


def test_a_run_is_detached_from_and_followed(
    slurm: SlurmCluster, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("run", "--method", "zeroshot", "--dataset", "demo-2-clothing", "--limit", "6")
    words += ("--output", str(tmp_path), "--engine", "slurm:memory=2GB,cpus=1,time=10")
    status, table, log = command_line(capsys, *words, "--detach")
    assert (status, table) == (0, "")
    assert "0 of 1 batches over, 1 workers waiting or running" in log
    status, _, again = command_line(capsys, *words, "--detach")  # it has that in work already
    assert status == 0
    assert len(list((tmp_path / RUNS).iterdir())) == 1, again
    status, text, _ = command_line(capsys, "watch", "--output", str(tmp_path))
    assert status == 0
    assert "[1/1] zeroshot, demo-2-clothing, seed 1: top1" in text
    status, table, log = command_line(capsys, *words)
    assert status == 0
    assert "1 had a record" in log
    assert "zeroshot" in table.lower() or "Zero-shot" in table


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("name", ["slurm", "ray"])
def test_processes_share_a_training_and_others_resume_it(
    request: pytest.FixtureRequest,
    name: str,
    world: tuple[Path, list[CellGroup]],
    undisturbed: Mapping[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    models, batches = world
    batch = batches[0]

    def engine(share: int) -> Engine:
        if name == "slurm":
            return Slurm(memory="500MB", cpus=1, time="10", share=share, nodes=share, retries=5)
        return Ray(address=request.getfixturevalue("ray_cluster").address, share=share, retries=5)

    request.getfixturevalue("slurm" if name == "slurm" else "ray_cluster")

    def interrupt(event: Event) -> None:
        if event.phase == "train" and event.done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine(2).run(runner(tmp_path, models, rest=2.0), [batch], interrupt)
    assert records(tmp_path) == {}
    assert len(list((tmp_path / "prompts").glob("*.partial"))) == 1
    events: list[Event] = []
    engine(1).run(runner(tmp_path, models), [batch], events.append)
    trained = [event.done for event in events if event.phase == "train"]
    assert min(trained) > 1  # resumed, with another number of processes
    for one in batch:
        record, expected = records(tmp_path)[one.key], undisturbed[one.key]
        assert record.status == "ok"
        for score, other in zip(record.scores, expected["scores"], strict=True):
            assert score.value == pytest.approx(other.value, abs=1e-3)
