"""`rppbench new`: packages whose tests pass at once, and names that are refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.commands import RunCommand, refused

from rppbench.commands.new import KINDS, package

ROOT = Path(__file__).parents[2]
PAGES = {
    ("method", "visual-prompts"): "methods/README.md",
    ("dataset", "my-images"): "datasets/README.md",
    ("task", "few"): "tasks/README.md",
}
"""The package whose module a page shows."""


@pytest.fixture
def packages(run_command: RunCommand, tmp_path: Path) -> list[Path]:
    """The folders of one package of each kind."""
    for kind in KINDS:
        status, _, log = run_command("new", kind, f"new-{kind}")
        assert status == 0, log
        assert f"pip install -e 'new-{kind}[test]'" in log
    return [tmp_path / f"new-{kind}" for kind in KINDS]


def test_packages_are_lint_clean_and_announce_their_module(packages: list[Path]) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run([*ruff, *command, *packages], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    for folder in packages:
        facts = tomllib.loads((folder / "pyproject.toml").read_text())
        ((name, module),) = facts["project"]["entry-points"]["rppbench"].items()
        assert (name, module) == (folder.name, folder.name.replace("-", "_"))
        assert (folder / f"{module}.py").is_file()
        assert (folder / "tests" / f"test_{module}.py").is_file()
        assert "$" not in (folder / "README.md").read_text()


@pytest.mark.slow
def test_the_tests_of_every_package_pass_at_once(packages: list[Path], tmp_path: Path) -> None:
    quiet = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir"]
    pip = [sys.executable, "-m", "pip", "install", *quiet, "--target", tmp_path / "site"]
    subprocess.run([*pip, *packages], check=True)
    paths = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    pytest_words = ["pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    done = subprocess.run(
        [sys.executable, "-m", *pytest_words, *packages],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "11 passed" in done.stdout


@pytest.mark.slow
def test_packages_are_typed(packages: list[Path], tmp_path: Path) -> None:
    modules = [next(folder.glob("*.py")) for folder in packages]
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache"]
    config = ["--config-file", ROOT / "pyproject.toml", "--follow-imports", "silent"]
    done = subprocess.run([*mypy, *config, *modules], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("kind", "name"), PAGES)
def test_the_page_of_a_kind_shows_the_module_that_is_written(kind: str, name: str) -> None:
    page = (ROOT / PAGES[kind, name]).read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    module = package(kind, name)[f"{name.replace('-', '_')}.py"]
    assert module in shown
    assert f"rppbench new {kind} {name}" in page


def test_the_sample_method_states_what_makes_a_comparison_fair() -> None:
    module = package("method", "mine")["mine.py"]
    general, demo = re.findall(r"Recipe\((.*?)\n            \)", module, re.DOTALL)
    assert {"shots", "augment", "batch", "epochs", "lr"} <= set(re.findall(r"(\w+)=", general))
    assert 'suite="demo-2"' in demo
    assert re.findall(r"shots=(\d+)|augment=\"(\S+)\"", demo) == [("4", ""), ("", "none")]


@pytest.mark.parametrize(
    ("kind", "name", "answer"),
    [
        ("method", "MyMethod", "did you mean 'my-method'?"),
        ("method", "my_method", "did you mean 'my-method'?"),
        ("task", "2 shots!", "did you mean 'shots'?"),
        ("task", "äöü", "is not a name\n"),
        ("engine", "json", "Python has a module or word 'json' already; did you mean 'my-json'?"),
        ("dataset", "class", "did you mean 'my-class'?"),
        ("method", "context", "a method 'context' exists; did you mean 'my-context'?"),
        ("metod", "mine", "no kind of component is named 'metod'; did you mean 'method'?"),
    ],
)
def test_invalid_names_get_advice(
    run_command: RunCommand, kind: str, name: str, answer: str
) -> None:
    assert answer in refused(run_command, "new", kind, name)
    assert not Path(name).exists()


def test_nothing_is_overwritten(run_command: RunCommand) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep")
    assert "mine exists and is not empty" in refused(run_command, "new", "task", "mine")
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]
    assert run_command("new", "task", "mine", "--to", "elsewhere")[0] == 0
    assert "elsewhere exists" in refused(run_command, "new", "task", "mine", "--to", "elsewhere")
