"""Wheel and sdist hold what a fresh machine needs, and nothing that would get in its way."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from rppbench import __version__

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-q", "-w", str(folder), str(ROOT)], check=True)
    (built,) = folder.glob("rppbench-*.whl")
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Paths in the source distribution, below its one folder."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT)
    with tarfile.open(folder / f"rppbench-{__version__}.tar.gz") as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_has_the_version_of_the_package(wheel: Path) -> None:
    assert wheel.name == f"rppbench-{__version__}-py3-none-any.whl"


def test_the_sdist_holds_what_the_pages_and_the_tests_need(sdist: set[str]) -> None:
    pages = {path.name for path in ROOT.glob("*.md")}
    decisions = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")}
    assert "CONTRIBUTING.md" in pages
    assert decisions
    assert sdist >= pages | decisions
    assert sdist >= {"LICENSE", "CITATION.cff", "constraints.txt", "tests/test_docs.py"}
    assert sdist >= {"benchmarks/all.py", "leaderboards/cross-dataset.md", "datasets/README.md"}


def test_the_wheel_holds_the_packages_and_the_embedded_world(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"rppbench", "rppbench_methods", "rppbench_datasets", "rppbench_tasks"}
    world = {
        str(path.relative_to(ROOT / "datasets"))
        for path in (ROOT / "datasets/rppbench_datasets").glob("world/**/*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert any(name.endswith("demo.safetensors") for name in world)
    assert world <= names
    recipes = {path.name for path in (ROOT / "methods/rppbench_methods").glob("*.toml")}
    assert "coop.toml" in recipes
    assert {f"rppbench_methods/{name}" for name in recipes} <= names
    web = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "rppbench/reporting/web").rglob("*")
        if path.is_file()
    ]
    assert "rppbench/reporting/web/js/drawer.js" in web
    templates = [f"rppbench/commands/templates/{kind}.py.template" for kind in ("method", "engine")]
    assert set(templates) <= names
    for name in ("rppbench/record.schema.json", "rppbench/py.typed", *web):
        assert name in names
    assert not [name for name in names if name.endswith((".pyc", ".pt", ".mjs"))]


def test_the_wheel_is_small_enough_to_ship(wheel: Path) -> None:
    assert wheel.stat().st_size <= 40_000_000


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import rppbench, rppbench_datasets; assert rppbench.__file__.startswith(sys.path[0])\n"
        "from rppbench.plugins.registry import Registry\n"
        "from importlib.metadata import distribution\n"
        "registry = Registry.load(distribution('rppbench').entry_points.select(group='rppbench'))\n"
        "assert not registry.broken, registry.broken\n"
        "assert registry.get('methods', 'coop').learning.recipes\n"
        "data = registry.get('datasets', 'demo-2-animals')()\n"
        "assert data.image(data.samples('test')[0]).size == (96, 96)\n"
        "assert registry.get('backbones', 'demo').weights.is_file()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=os.environ)
