"""The registry of plugins' components, also if a plugin is broken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rppbench import hookimpl
from rppbench.contracts.backbone import Backbone
from rppbench.errors import UsageError
from rppbench.plugins.registry import KINDS, Registry

Install = Callable[..., EntryPoint]


def component(name: str, **facts: Any) -> Any:
    return type(name.title(), (), {"name": name, "suite": "", "role": "", "large": False, **facts})


def broken_list() -> list[Any]:
    raise LookupError("half installed")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a module with hooks, and its entry point: install('mine', methods=[...])."""

    def make(name: str, **hooks: Any) -> EntryPoint:
        module = ModuleType(f"plugin_{name}")
        for kind, brought in hooks.items():
            answer = brought if callable(brought) else (lambda brought=brought: brought)
            answer.__module__ = module.__name__
            setattr(module, f"rppbench_{kind}", hookimpl(answer))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name, module.__name__, "rppbench")

    return make


def test_components_of_all_plugins_are_found_by_kind_and_name(install: Install) -> None:
    coop, rpp, flags = component("coop"), component("rpp"), component("flags")
    one, two = install("one", methods=[coop], datasets=[flags]), install("two", methods=[rpp])
    registry = Registry.load([one, two])
    assert set(registry.all("methods").values()) == {coop, rpp}
    assert registry.get("datasets", "flags") is flags
    assert registry.all("tasks") == {}
    assert not registry.broken


def test_one_backbone_is_the_default(install: Install) -> None:
    def backbones(*defaults: bool) -> list[Backbone]:
        return [
            Backbone(f"b{at}", "B", Path(), Path(), "", default=default)
            for at, default in enumerate(defaults)
        ]

    one = install("one", backbones=backbones(False, True, False))
    assert Registry.load([one]).default_backbone().name == "b1"
    none = Registry.load([install("none", backbones=backbones(False))])
    with pytest.raises(UsageError, match=r"no installed backbone is marked.*--model NAME"):
        none.default_backbone()
    two = Registry.load([install("two", backbones=backbones(True, True))])
    with pytest.raises(UsageError, match="2 backbones are marked as the default: 'b0', 'b1'"):
        two.default_backbone()


def test_a_plugin_that_cannot_be_imported_is_reported_and_stops_no_other(
    install: Install,
) -> None:
    gone = EntryPoint("gone", "no_such_module", "rppbench")
    registry = Registry.load([gone, install("good", methods=[component("coop")])])
    assert list(registry.all("methods")) == ["coop"]
    assert isinstance(registry.broken["gone"], ModuleNotFoundError)
    with pytest.raises(UsageError) as caught:
        registry.get("methods", "cop")
    lines = str(caught.value).splitlines()
    assert lines[0] == "no method is named 'cop'; did you mean 'coop'?"
    assert lines[1] == "methods: coop"
    assert lines[2].startswith("plugin 'gone' did not load: ModuleNotFoundError: ")


def test_a_plugin_whose_hook_fails_is_reported_too(install: Install) -> None:
    half = install("half", methods=broken_list, datasets=[component("flags")])
    registry = Registry.load([half, install("good", methods=[component("coop")])])
    assert list(registry.all("methods")) == ["coop"]
    assert list(registry.all("datasets")) == ["flags"]
    assert registry.complaints() == ["plugin 'half' did not load: LookupError: half installed"]


def test_a_misspelt_hook_is_an_error(install: Install) -> None:
    wrong = install("wrong", method=[component("lost")])
    registry = Registry.load([wrong, install("good", methods=[component("coop")])])
    assert list(registry.all("methods")) == ["coop"]
    (line,) = registry.complaints()
    assert "'wrong'" in line
    assert "rppbench_method" in line


def test_components_without_a_name_are_reported(install: Install) -> None:
    registry = Registry.load([install("nameless", methods=[SimpleNamespace()])])
    assert registry.all("methods") == {}
    assert "nameless" in registry.broken


def test_a_clash_of_names_stops_only_who_uses_the_name(install: Install) -> None:
    first, second, other = component("coop"), component("coop"), component("other")
    first.__module__, second.__module__ = "plugin_one", "plugin_two"
    one, two = install("one", methods=[first, other]), install("two", methods=[second])
    registry = Registry.load([one, two])
    assert registry.all("methods") == {"other": other}
    assert registry.get("methods", "other") is other
    with pytest.raises(UsageError) as caught:
        registry.get("methods", "coop")
    assert str(caught.value) == (
        "two methods are named 'coop': plugin_one.Coop and plugin_two.Coop; "
        "uninstall one of the plugins"
    )
    assert registry.complaints() == [str(caught.value)]


def test_one_component_of_two_plugins_is_no_clash(install: Install) -> None:
    coop = component("coop")
    registry = Registry.load([install("one", methods=[coop]), install("two", methods=[coop])])
    assert registry.all("methods") == {"coop": coop}


def test_components_of_several_kinds_may_share_a_name(install: Install) -> None:
    plugin = install("one", methods=[component("demo")], backbones=[component("demo")])
    registry = Registry.load([plugin])
    assert registry.get("methods", "demo") is not registry.get("backbones", "demo")


def test_a_plugin_may_make_a_data_set_from_a_name(install: Install) -> None:
    own, registered = component("own:/x"), component("own:registered")

    def make(name: str) -> Any:
        return own if name.startswith("own:") else None

    def fail(name: str) -> Any:
        raise LookupError("half installed")

    one = install("one", datasets=[registered], resolve_dataset=make)
    registry = Registry.load([one, install("two", resolve_dataset=fail)])
    assert registry.get("datasets", "own:/x") is own
    assert registry.get("datasets", "own:registered") is registered
    assert registry.find("datasets", "else") is None
    assert registry.find("methods", "own:/x") is None
    assert registry.complaints() == ["plugin 'two' did not load: LookupError: half installed"]
    with pytest.raises(UsageError, match="no data set is named 'else'"):
        registry.get("datasets", "else")


def test_a_choice_is_a_name_with_typed_options(install: Install) -> None:
    class Coop:
        name = "coop"

        def __init__(self, *, length: int = 4) -> None: ...

    registry = Registry.load([install("one", methods=[Coop])])
    assert registry.choose("methods", "coop:length=8") == ("coop", {"length": 8})
    assert registry.choose("methods", "coop") == ("coop", {})
    with pytest.raises(UsageError, match="did you mean 'length'"):
        registry.choose("methods", "coop:lenght=8")


def test_the_source_of_a_suite_is_its_large_vocabulary_on_request(
    install: Install,
) -> None:
    facts = {"suite": "s", "role": "source"}
    small, large = component("small", **facts), component("large", **facts, large=True)
    lone = component("lone", suite="other", role="transfer")
    registry = Registry.load([install("one", datasets=[small, large, lone])])
    assert registry.source("s", large=True) == "large"
    assert registry.source("s", large=False) == "small"
    with pytest.raises(UsageError, match="suite 'other' has no source"):
        registry.source("other", large=False)
    with pytest.raises(UsageError, match="no suite is named 'othr'; did you mean 'other'"):
        registry.source("othr", large=False)


def test_the_built_in_plugins_have_entry_points_too() -> None:
    registry = Registry.load()
    assert "cross-dataset" in registry.all("tasks")
    assert "inline" in registry.all("engines")
    assert {"zeroshot", "coop", "maple", "pomp", "rpp"} <= set(registry.all("methods"))
    assert "demo-2-vocabulary" in registry.all("datasets")
    assert set(KINDS) == {"methods", "datasets", "tasks", "engines", "backbones"}
