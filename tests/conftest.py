"""Fixtures of all tests: tiny models, a toy plugin, commands, and folders of their own."""

import os
import signal
from pathlib import Path

import pytest

# Before torch is loaded, and for every process that a test starts. Several threads in each of
# several processes take up to ten times as long as one in each, and another order of sums changes
# the last digits of what is compared.
os.environ["OMP_NUM_THREADS"] = "1"

from support.commands import RunCommand
from support.roots.coop_root import Make, make
from support.tiny import make_tiny_clip
from support.toy_plugin import ToyPlugin, registry_of, save_tiny

from rppbench.cli import main
from rppbench.execution import engines
from rppbench.execution.devices import cores
from rppbench.models.clip import Clip
from rppbench.plugins.registry import Registry

# A shell's background jobs ignore interrupts, and so would what tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

PROCESSES = 8
"""The most processes that tests are spread over; each grows to 1.5 GB."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for each core if all rooms are tested; none beside pytest's own for named files.

    Those are done sooner without: a process takes seconds to load torch and to collect all tests.
    `-n 2` starts two processes in any case.
    """
    return 0 if config.option.file_or_dir else min(cores(), PROCESSES)


@pytest.fixture(scope="session")
def tiny_clip() -> Clip:
    """A small CLIP with random weights in float32; treat it as read-only."""
    return make_tiny_clip()


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has an empty feature cache, never that of the person who runs it."""
    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "rppbench-cache"))


@pytest.fixture(autouse=True)
def no_real_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the data sets of the person who runs it."""
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path / "no-data"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny CLIP as a plugin's backbone."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny(folder)
    return folder


@pytest.fixture
def toys(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, models: Path
) -> Registry:
    """The only plugins are the toys and `MORE` of a test's module; the test runs in its folder."""
    more = {"more": request.module.MORE} if hasattr(request.module, "MORE") else {}
    registry = registry_of(toys=ToyPlugin(models), **more, engines=engines)
    registry.broken["old"] = ImportError("no old times")
    monkeypatch.setattr(Registry, "load", lambda: registry)
    monkeypatch.setenv("COLUMNS", "40")  # a narrow terminal must not matter to a pipe
    monkeypatch.chdir(tmp_path)
    return registry


@pytest.fixture
def run_command(toys: Registry, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Runs a command: run_command('plan', ...) returns its exit status, output and error output."""

    def run(*words: str) -> tuple[int, str, str]:
        status = main(words)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Writes a small copy of one of CoOp's data sets and opens it."""
    return lambda name: make(tmp_path / "root", name, monkeypatch)
