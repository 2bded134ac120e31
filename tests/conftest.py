from pathlib import Path

import pytest
from support.coop_root import Make, make
from support.tiny import make_tiny_clip
from support.toy_run import Say, ToyPlugin, registry_of, save_tiny

from rppbench.cli import main
from rppbench.execution import engines
from rppbench.models.clip import Clip
from rppbench.plugins.registry import Registry


@pytest.fixture(scope="session")
def tiny_clip() -> Clip:
    """A small CLIP with random weights in float32; treat it as read-only."""
    return make_tiny_clip()


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the features of the person who runs it."""
    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "rppbench-cache"))


@pytest.fixture(autouse=True)
def no_real_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds the data of the person who runs it."""
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path / "no-data"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny CLIP as files of a plugin."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny(folder)
    return folder


@pytest.fixture
def toys(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, models: Path
) -> Registry:
    """Only toys and the `MORE` of a test's module are installed; the test has its own folder."""
    more = {"more": request.module.MORE} if hasattr(request.module, "MORE") else {}
    registry = registry_of(toys=ToyPlugin(models), **more, engines=engines)
    registry.broken["old"] = ImportError("no old times")
    monkeypatch.setattr(Registry, "load", lambda: registry)
    monkeypatch.setenv("COLUMNS", "40")  # a narrow terminal must not matter to a pipe
    monkeypatch.chdir(tmp_path)
    return registry


@pytest.fixture
def say(toys: Registry, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command: say('plan', ...) is its status, what it printed, and its complaints."""

    def run(*words: str) -> tuple[int, str, str]:
        status = main(words)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes the small root of a set of CoOp and opens the set."""
    return lambda name: make(tmp_path / "root", name, monkeypatch)
