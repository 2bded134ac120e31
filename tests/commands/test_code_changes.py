"""Plugins whose source or version changes between two runs of the same cells."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.commands import RunCommand, refused
from support.toy_plugin import ToyPlugin, registry_of

from rppbench.execution import engines
from rppbench.execution.resources import Resources
from rppbench.features.store import FeatureStore
from rppbench.planning import input_digests, plan
from rppbench.plugins import versions
from rppbench.plugins.registry import Registry
from rppbench.records.record import Record
from rppbench.records.store import Store

SOURCE = """
from support.toy_plugin import Context, Fixed, ToyOne
from rppbench import hookimpl


class Mined(Context):
    name, title = "mined", "Mined"

    def loss(self, step):
        return step.loss * 1.0


class MinedFixed(Fixed):
    name, title = "mined-fixed", "Mined fixed"


class MinedToy(ToyOne):
    name, title = "mined-toy", "Mined toy"


@hookimpl
def rppbench_methods():
    return [Mined, MinedFixed]


@hookimpl
def rppbench_datasets():
    return [MinedToy]
"""
WORDS = ("--method", "mined", "--task", "cross-dataset:suite=toy", "--dataset", "toy-one")


class Plugin:
    """A plugin in one file, which a new process would import as it is now."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.path, self.models = folder / "mined_plugin.py", models
        self.path.write_text(SOURCE)

    def edit(self, old: str, new: str) -> None:
        text = self.path.read_text()
        assert old in text
        self.path.write_text(text.replace(old, new))
        sys.modules.pop("mined_plugin", None)
        importlib.invalidate_caches()

    def load(self) -> Registry:
        module = importlib.import_module("mined_plugin")
        return registry_of(toys=ToyPlugin(self.models), mine=module, engines=engines)


@pytest.fixture
def plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path, toys: Registry
) -> Iterator[Plugin]:
    (tmp_path / "plugins").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it goes by seconds
    plugin = Plugin(tmp_path / "plugins", models)
    monkeypatch.setattr(Registry, "load", plugin.load)
    yield plugin
    sys.modules.pop("mined_plugin", None)


def record() -> Record:
    (record,), problems = Store(Path("runs")).all()
    assert problems == []
    return record


def test_a_changed_loss_is_stale_until_it_runs_or_is_accepted(
    run_command: RunCommand, plugin: Plugin
) -> None:
    assert run_command("run", *WORDS)[0] == 0
    first = record()
    assert {"method:mined", "dataset:toy-one", "dataset:toy"} <= first.code.keys()
    (prompts,) = Path("runs/prompts").glob("*.safetensors")
    learned = prompts.read_bytes()

    plugin.edit("* 1.0", "* 1.0  # a comment")
    assert "1 cell: 0 to run, 1 done" in run_command("plan", *WORDS)[1]
    plugin.edit("* 1.0", "* 2.0")
    _, shown, _ = run_command("plan", *WORDS)
    assert "stale (1 cell): code changed since: method 'mined'" in shown
    assert "1 cell: 1 to run, 1 stale; 1 training" in shown
    assert "method 'mined' changed" in refused(run_command, "export", "mined", "--to", "mine")
    assert "1 cell: 0 to run, 1 done" in run_command("plan", *WORDS, "--accept-code")[1]
    assert record() == first

    assert run_command("run", *WORDS)[0] == 0
    second = record()
    assert second.code != first.code
    assert second.training_log != first.training_log
    assert not second.cost.training_reused
    assert prompts.read_bytes() != learned
    assert "1 cell: 0 to run, 1 done" in run_command("plan", *WORDS)[1]

    plugin.edit("* 2.0", "* (1.0 + 1.0)")
    learned = prompts.read_bytes()
    _, _, notes = run_command("run", *WORDS, "--accept-code")
    assert "1 cell: 0 to run, 1 done" in notes
    third = record()
    was, now = second.code["method:mined"], third.code["method:mined"]
    assert third.environment["accepted code"] == f"method:mined {was} -> {now}"
    environment = {k: v for k, v in third.environment.items() if k != "accepted code"}
    assert replace(third, code=second.code, environment=environment) == second
    assert "1 cell: 0 to run, 1 done" in run_command("plan", *WORDS)[1]
    more = (*WORDS[:-1], "toy-two")
    assert "0 trainings" in run_command("plan", *more)[1]  # its prompts are accepted too
    assert run_command("export", "mined", "--to", "mine")[0] == 0


def test_a_record_without_digests_is_unverified_and_not_stale(
    run_command: RunCommand, plugin: Plugin
) -> None:
    run_command("run", *WORDS)
    Store(Path("runs")).write(replace(record(), code={}))
    plugin.edit("* 1.0", "* 2.0")
    assert "1 cell: 0 to run, 1 done" in run_command("plan", *WORDS)[1]


def test_features_of_a_changed_data_set_are_others(plugin: Plugin, tmp_path: Path) -> None:
    def path(name: str) -> Path:
        resources = Resources(
            registry=plugin.load(),
            load=lambda name, precision: pytest.fail("not needed"),
            features=FeatureStore(tmp_path),
            prompts=lambda training: tmp_path,
        )
        return resources.features.path({"dataset": name, "fingerprint": "same"})

    before, other = path("mined-toy"), path("toy-one")
    plugin.edit('"Mined toy"', '"Mined toy"\n    images_a_class = 3')
    changed = path("mined-toy")
    assert changed != before
    assert path("toy-one") == other
    plugin.edit("images_a_class = 3", "images_a_class = 3\n    version = 2")
    assert path("mined-toy") not in (before, changed)


def keys(plugin: Plugin, method: str, dataset: str = "mined-toy") -> tuple[str, str, str]:
    request = plan.Request(
        (method,), ("cross-dataset:suite=toy",), datasets=(dataset,), backbone="tiny"
    )
    (cell,) = plan.cells(plugin.load(), request)
    return cell.key, cell.training.key if cell.training else "", cell.comparability


def test_versions_are_part_of_keys_from_the_second_on(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, fixed, other = (keys(plugin, m) for m in ("mined", "mined-fixed", "context"))
    plugin.edit('"Mined"', '"Mined"\n    version = 1')
    assert keys(plugin, "mined") == trained

    plugin.edit("version = 1", "version = 2")
    after = keys(plugin, "mined")
    assert after[0] != trained[0]
    assert after[1] != trained[1]
    assert after[2] == trained[2]  # still a row of the same table

    plugin.edit('"Mined fixed"', '"Mined fixed"\n    version = 2')
    after = keys(plugin, "mined-fixed")
    assert after[0] != fixed[0]
    assert after[2] == fixed[2]
    assert keys(plugin, "context") == other

    plugin.edit('"Mined toy"', '"Mined toy"\n    version = 2')
    after = keys(plugin, "context")
    assert after[0] != other[0]
    assert after[1] == other[1]  # it is learned on another data set
    assert after[2] != other[2]

    monkeypatch.setattr(versions, "CORE_VERSION", 2)
    assert input_digests.core_version() == (("core", "version 2"),)
    last = keys(plugin, "context")
    assert all(new != old for new, old in zip(last, after, strict=True))
