from pathlib import Path

import pytest
from tiny import make_tiny_clip

from rppbench.clip import Clip


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
