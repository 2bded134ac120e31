"""Rules that keep the parts apart: who imports what, how large a module is, what starts fast."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = {
    "rppbench_methods": ROOT / "methods" / "rppbench_methods",
    "rppbench_datasets": ROOT / "datasets" / "rppbench_datasets",
    "rppbench_tasks": ROOT / "tasks" / "rppbench_tasks",
}
LEVELS = (
    ("stats", "random_streams", "torchvision_shim", "errors"),
    ("files",),
    ("records",),
    ("leaderboard", "contracts"),
    ("plugins", "data"),
    ("comparison", "models"),
    ("reporting", "planning", "importers", "features"),
    ("terminal", "exporters", "evaluation", "reproduction"),
    ("training", "testing"),
    ("execution",),
    ("commands",),
    ("cli", "api"),
    ("__main__",),
)
"""The rooms of rppbench/ from the bottom up: a room may import those below it and none beside it.

Only the package itself (`rppbench`: the version, `hookimpl`, `cache_folder`) is open to all.
What commands share has a room too: devices in `execution`, the data folder in `data`, the console
in `terminal`; the files of the web page stand with `reporting`, which writes it.
"""
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
LARGE = {
    "benchmarks": "one file a measurement",
    "rppbench/commands": "one file a verb",
    "tests/commands": "one file a verb",
    "methods/rppbench_methods": "one file a method",
    "datasets/rppbench_datasets/coop": "one file a data set",
}
"""Folders that may hold more than 18 modules, and why."""
MOST_MODULES = 18
MOST_LINES = 400
DOORS = {
    *("rppbench", "rppbench.contracts", "rppbench.errors", "rppbench.testing"),
    "rppbench.evaluation.average_precision",
    "rppbench.execution.cluster.shared_engine",  # the base of engines that share a folder
    "rppbench.stats.intervals",  # a task may need the mean that tables print
    "rppbench.torchvision_shim",  # before transformers, which imports torchvision
}
"""What a plugin may import of the harness, with all of `rppbench.files`: what any plugin needs."""
TORCH_FREE = (
    *("cli", "commands", "terminal", "reporting", "comparison", "leaderboard", "plugins"),
    *("records", "files", "stats", "planning.settings"),
    *("contracts.dataset", "contracts.regions", "contracts.engine", "contracts.backbone"),
    *(
        "contracts.recipe",
        "contracts.learning",
        "data.check",
        "data.prepare",
        "data.download",
        "data.archives",
    ),
    *("features.files", "models.identity"),
)
"""Rooms and modules that load without torch."""
WARNS_OF_THE_WORLD = "rppbench.records.stand_in"
"""The only module of the core with names of a plugin: pages are made from records alone, which do
not say that the embedded world is no evidence. A test compares its names with the plugin's."""


def imports(path: Path) -> set[str]:
    """Modules that a file imports, inside functions and for type checkers too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in inner}
    return names


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _named(folder: Path, package: str) -> Iterator[tuple[str, Path]]:
    for path in modules(folder):
        parts = path.relative_to(folder).with_suffix("").parts
        yield ".".join((package, *parts)).removesuffix(".__init__"), path


MODULES = dict(
    [
        *_named(ROOT / "rppbench", "rppbench"),
        *(pair for package, folder in PLUGINS.items() for pair in _named(folder, package)),
        *((path.stem, path) for path in modules(ROOT / "datasets" / "world")),
    ]
)
"""Every module of the project by its import name."""
GRAPH: Mapping[str, set[str]] = {
    name: {other for other in imports(path) if other in MODULES} for name, path in MODULES.items()
}


def room(module: str) -> str:
    return module.split(".")[1]


def test_rooms_import_only_what_is_below_them() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if module.startswith("rppbench.") and other.startswith("rppbench.")
        if room(module) != room(other) and LEVEL[room(module)] <= LEVEL[room(other)]
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_the_table_names_every_room() -> None:
    assert {room(name) for name in MODULES if name.startswith("rppbench.")} == set(LEVEL)


def test_the_map_in_contributing_is_this_table() -> None:
    """From the top down, each room with its level."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| \S", page, re.MULTILINE)
    levels = [int(level) for level, _ in rows]
    assert levels == sorted(levels, reverse=True)
    assert {room: int(level) for level, room in rows} == LEVEL
    assert len(rows) == len(LEVEL)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Nor by way of others, whether at the top of a file, in a function or for type checkers."""
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in sorted(GRAPH[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in GRAPH:
        visit(module, ())


def test_folders_stay_small_enough_to_look_through() -> None:
    for folder in (ROOT / "rppbench", *PLUGINS.values(), ROOT / "benchmarks", ROOT / "tests"):
        for inner in {path.parent for path in modules(folder)}:
            count = len(list(inner.glob("*.py")))
            name = inner.relative_to(ROOT).as_posix()
            assert count <= MOST_MODULES or name in LARGE, f"{name} holds {count} modules"


def test_packages_of_rooms_hold_a_docstring_and_nothing_else() -> None:
    """So that importing one module never imports torch by way of another."""
    for path in modules(ROOT / "rppbench"):
        if path.name != "__init__.py" or path.parent.name in ("rppbench", "contracts"):
            continue
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def test_modules_hold_one_idea() -> None:
    for folder in (ROOT / "rppbench", *PLUGINS.values(), ROOT / "benchmarks"):
        for path in modules(folder):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines <= MOST_LINES, f"{path} has {lines} lines"


def test_the_core_knows_no_plugin() -> None:
    for name, path in MODULES.items():
        if name.split(".")[0] == "rppbench":
            heads = {other.split(".")[0] for other in imports(path)}
            assert not heads & set(PLUGINS), path


def test_the_core_names_no_component_of_a_plugin() -> None:
    """The embedded world is a plugin like any other; docstrings and help may name it."""
    for name, path in MODULES.items():
        if name.split(".")[0] != "rppbench" or name == WARNS_OF_THE_WORLD:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) or (isinstance(node, ast.keyword) and node.arg == "help")
            for inner in [node.value]
        }
        texts = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose
        ]
        assert not [text for text in texts if "demo" in text], path


@pytest.mark.parametrize("package", PLUGINS)
def test_built_in_plugins_use_the_doors_that_everyone_has(package: str) -> None:
    for path in modules(PLUGINS[package]):
        used = {name for name in imports(path) if name.split(".")[0].startswith("rppbench")}
        own = {name for name in used if name.split(".")[0] == package}
        files = {name for name in used if name.startswith("rppbench.files.")}
        allowed = own | files | DOORS
        assert used <= allowed, f"{path} imports {sorted(used - allowed)}"


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    from rppbench import contracts

    path = Path(contracts.__file__)
    block = next(node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == contracts._HOMES
    for name in contracts.__all__:
        assert getattr(contracts, name) is not None


@pytest.mark.parametrize("folder", ["methods", "datasets", "tasks", "leaderboards", "tests"])
def test_outer_folders_are_no_packages(folder: str) -> None:
    """Or a checkout on the path would shadow Hugging Face's `datasets`, among others."""
    assert not (ROOT / folder / "__init__.py").exists()


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=os.environ
    )


def test_torch_free_rooms_load_without_torch(tmp_path: Path) -> None:
    free = [
        name
        for name in MODULES
        if any(f"{name}.".startswith(f"rppbench.{part}.") for part in TORCH_FREE)
    ]
    assert len(free) > len(TORCH_FREE)
    code = (
        "import importlib, sys\n"
        f"for name in {free!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
        "from rppbench.contracts import Dataset\n"
        "assert 'torch' not in sys.modules, 'rppbench.contracts.Dataset'\n"
    )
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr


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
    (tmp_path / "records").mkdir()
    detection = ROOT / "leaderboards" / "records" / "detection"  # one task is as good as all
    (tmp_path / "records" / "detection").symlink_to(detection)
    code = (
        "import sys; from rppbench.cli import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: pass\n"
        "sys.exit(sorted({'torch', 'open_clip', 'mmengine'} & set(sys.modules)) or 0)"
    )
    done = run(code, tmp_path)
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
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "10 cells: 0 to run, 10 done" in done.stdout + done.stderr
