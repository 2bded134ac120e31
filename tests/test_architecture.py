"""Rules that keep the parts apart: who imports what, how large a module is, what starts fast."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = {
    "rppbench_methods": ROOT / "methods" / "rppbench_methods",
    "rppbench_datasets": ROOT / "datasets" / "rppbench_datasets",
    "rppbench_tasks": ROOT / "tasks" / "rppbench_tasks",
}
DOORS = {
    *("rppbench", "rppbench.contracts.method", "rppbench.contracts.dataset", "rppbench.errors"),
    "rppbench.contracts.backbone",
    "rppbench.files.digests",  # proposals come from files, which are part of a cell's identity
    "rppbench.torchvision_shim",  # before transformers, which imports torchvision
    "rppbench.stats.intervals",  # a task may need the mean that tables print
    *(
        "rppbench.contracts.regions",
        "rppbench.files.rle",
        "rppbench.evaluation.average_precision",
        "rppbench.files.coco_json",
    ),
}
"""What a plugin may import of the harness: the same that anyone else's plugin needs."""


def imports(path: Path) -> set[str]:
    """Modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def test_the_core_knows_no_plugin() -> None:
    for path in modules(ROOT / "rppbench"):
        heads = {name.split(".")[0] for name in imports(path)}
        assert not heads & set(PLUGINS), path


@pytest.mark.parametrize("package", PLUGINS)
def test_built_in_plugins_use_the_doors_that_everyone_has(package: str) -> None:
    for path in modules(PLUGINS[package]):
        used = {name for name in imports(path) if name.split(".")[0].startswith("rppbench")}
        allowed = {name for name in used if name.split(".")[0] == package} | DOORS
        assert used <= allowed, f"{path} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("folder", ["methods", "datasets", "tasks", "leaderboards", "tests"])
def test_outer_folders_are_no_packages(folder: str) -> None:
    """Or a checkout on the path would shadow Hugging Face's `datasets`, among others."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_modules_hold_one_idea() -> None:
    for folder in (ROOT / "rppbench", *PLUGINS.values(), ROOT / "benchmarks"):
        for path in modules(folder):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


@pytest.mark.parametrize(
    "words",
    [
        ["--version"],
        ["--help"],
        ["run", "--help"],
        ["ablate", "--help"],
        ["leaderboard", "--output", "records"],
        ["report", "--output", ".", "--to", "site"],
        ["data", "list"],
        ["data", "check", "dtd"],
        ["cache", "info"],
        ["cache", "prune", "--all", "--dry-run"],
        ["cache", "verify"],
    ],
)
def test_answers_that_need_no_torch_do_not_import_it(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "records").symlink_to(ROOT / "leaderboards" / "records")
    code = (
        "import sys; from rppbench.cli import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: pass\n"
        "sys.exit(sorted({'torch', 'open_clip', 'mmengine'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_finished_grid_is_shown_without_the_libraries_that_models_need(
    command: str, tmp_path: Path
) -> None:
    (tmp_path / "records").symlink_to(ROOT / "leaderboards" / "records")
    words = [command, "--method", "zeroshot", "--task", "cross-dataset", "--output", "."]
    code = (
        "import sys; from rppbench.cli import main\n"
        f"assert main({words!r}) == 0\n"
        "sys.exit(sorted({'open_clip', 'torchvision', 'timm'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "11 cells: 0 to run, 11 done" in done.stdout + done.stderr
