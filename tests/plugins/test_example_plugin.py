"""A separate package adds a method, a data set and a task without an edit in rppbench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file
from support.tiny import MEAN, STD, make_tiny_clip, tiny_config

pytestmark = pytest.mark.slow
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def rppbench(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs `rppbench` in a new process, with the example plugin installed."""
    folder = tmp_path_factory.mktemp("outside")
    source = Path(__file__).parents[1] / "example_plugin"
    quiet = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir"]
    pip = [sys.executable, "-m", "pip", "install", *quiet, "--target", folder / "site", source]
    subprocess.run(pip, check=True, cwd=folder)
    facts = {"size": 32, "mean": MEAN, "std": STD}
    config = json.dumps({"model_cfg": tiny_config(), "preprocess_cfg": facts})
    (folder / "tiny").mkdir()
    (folder / "tiny" / "open_clip_config.json").write_text(config)
    weights = make_tiny_clip().model.state_dict()
    save_file(weights, folder / "tiny" / "open_clip_model.safetensors")
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "site"),
        "RPPBENCH_CACHE": str(folder / "cache"),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rppbench", *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    return run


def test_a_run_with_components_of_the_plugin_ends_in_a_leaderboard(rppbench: Command) -> None:
    words = ["--method", "opening:length=3", "--task", "same-data", "--model", "local-dir:tiny"]
    done = rppbench("run", *words, "--limit", "20")
    assert done.returncode == 0, done.stderr
    assert "1 done, 0 had a record, 0 failed" in done.stderr
    table = rppbench("leaderboard", "same-data")
    assert table.returncode == 0, table.stderr
    assert table.stdout == done.stdout
    assert table.stdout.startswith("# Learned and scored on the same data\n")
    assert "| Opening words (length=3) |" in table.stdout
    assert "at most 20 test images" in table.stdout


def test_its_components_are_listed(rppbench: Command) -> None:
    for kind, expected in (("methods", "Opening words"), ("datasets", "Stripes")):
        done = rppbench("list", kind)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_a_misspelt_name_of_a_plugin_is_recognised(rppbench: Command) -> None:
    wrong = rppbench("info", "openning")
    assert wrong.returncode == 2
    assert "did you mean 'opening'?" in wrong.stderr
