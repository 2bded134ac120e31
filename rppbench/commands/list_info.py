"""`rppbench list` and `rppbench info`: what is installed, and its details."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rppbench.errors import MissingDataError, unknown
from rppbench.plugins.containment import contained, line_of
from rppbench.records.cell import spell
from rppbench.terminal.console import console
from rppbench.terminal.tables import print_table

if TYPE_CHECKING:
    from rich.console import Console

    from rppbench.contracts.backbone import Backbone
    from rppbench.contracts.dataset import Dataset
    from rppbench.contracts.method import Method
    from rppbench.plugins.registry import Registry

LISTED = ("methods", "datasets", "tasks", "engines", "backbones")
"""The same as `plugins.registry.KINDS`, so that `--help` need not import the registry."""


def list_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `list`."""
    parser.add_argument("kind", metavar="KIND", help=", ".join(LISTED))


def info_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `info`."""
    parser.add_argument("name", metavar="NAME", help="name of a method, data set, task, ...")


def listed(arguments: argparse.Namespace) -> int:
    """Print the components of a kind, one per line."""
    from rppbench.plugins.registry import Registry

    kind = arguments.kind
    if kind not in LISTED:
        raise unknown("kind is named", kind, LISTED, "kinds")
    registry = Registry.load()
    rows = [[name, item.title, _fact(kind, item)] for name, item in registry.sound(kind).items()]
    out = console()
    print_table(out, ("Name", "Title", FACTS[kind]), rows)
    for line in ("", *registry.complaints()) if registry.complaints() else ():
        out.print(line, soft_wrap=True)
    return 0


def info(arguments: argparse.Namespace) -> int:
    """Print the details of a name, once for each kind that has it."""
    from rppbench.plugins.registry import KINDS, SINGULAR, Registry

    registry = Registry.load()
    items = [
        (kind, registry.get(kind, arguments.name))
        for kind in KINDS
        if registry.find(kind, arguments.name) is not None
    ]
    if not items:
        names = {name for kind in KINDS for name in registry.all(kind)}
        raise unknown("component is named", arguments.name, names, "names", registry.complaints())
    out = console()
    for index, (kind, item) in enumerate(items):
        if index:
            out.print()
        out.print(f"{item.name} ({SINGULAR[kind]}): {item.title}", style="bold", soft_wrap=True)
        DESCRIBE[kind](out, item, registry)
    return 0


FACTS = {
    "methods": "Paper",
    "datasets": "Suite",
    "tasks": "Paper",
    "engines": "Options",
    "backbones": "Note",
}


def _fact(kind: str, item: Any) -> str:
    from rppbench.plugins.options import options

    if kind == "engines":
        return ", ".join(f"{name}={spell(value)}" for name, value in options(item).items())
    if kind == "datasets":
        size = "large " if item.large else ""
        return f"{item.suite}, {size}{item.role}" if item.suite else ""
    if kind == "backbones":
        return "; ".join(filter(None, ["the default" if item.default else "", item.note]))
    return str(item.paper)


def _method(out: Console, method: type[Method], registry: Registry) -> None:
    _component(out, method, registry)
    if method.learning is None:
        return
    recipes = method.learning.recipes
    out.print("recipes:" if recipes else "recipes: none of its own", style="bold")
    for recipe in recipes:
        values = recipe.values() | {"shots": recipe.shots} | dict(recipe.options)
        texts = [f"{name}={spell(value)}" for name, value in values.items()]
        scope = [*recipe.tasks, *([f"suite {recipe.suite}"] if recipe.suite else [])]
        scope += [*recipe.datasets, *(f"{shots} shots" for shots in recipe.at_shots)]
        made_for = f" (for {', '.join(scope)})" if scope else ""
        out.print(f"  {recipe.name}{made_for}: {', '.join(texts)}", soft_wrap=True)
        if recipe.origin:
            out.print(f"    from {recipe.origin}", soft_wrap=True)


def _dataset(out: Console, dataset: type[Dataset], registry: Registry) -> None:
    _component(out, dataset, registry)
    try:
        with contained():
            classes = str(len(dataset().classes))
    except MissingDataError as error:
        classes = f"unknown: {error}"
    except Exception as error:  # noqa: BLE001  the code of a plugin
        classes = f"unknown: {line_of(error)}"
    _facts(
        out,
        [
            ("suite", dataset.suite),
            ("learned on", dataset.source_suite and f"sources of suite {dataset.source_suite}"),
            ("role", f"large {dataset.role}" if dataset.large else dataset.role),
            ("classes", classes),
            ("template", dataset.template),
        ],
    )


def _component(out: Console, component: type[Any], registry: Registry) -> None:
    """Docstring, facts and options of a class."""
    from rppbench.plugins.options import choices, options

    out.print(inspect.getdoc(component) or "", soft_wrap=True)
    facts = [(name, getattr(component, name, "")) for name in ("paper", "licence", "origin")]
    _facts(out, [*facts, ("defined in", component.__module__)])
    defaults, allowed = options(component), choices(component)
    if defaults:
        out.print("options:", style="bold")
        rows = [
            [f"{name}={spell(value)}", allowed.get(name, "")] for name, value in defaults.items()
        ]
        print_table(out, ("With default", "Choices"), rows)


def _backbone(out: Console, backbone: Backbone, registry: Registry) -> None:
    present = "present" if backbone.weights.is_file() else "missing"
    _facts(
        out,
        [
            ("licence", backbone.licence),
            ("note", backbone.note),
            ("default", "yes" if backbone.default else ""),
            ("usual teacher", backbone.teacher),
            ("suite", backbone.suite),
            ("weights", f"{backbone.weights.name}, {present}, sha256 {backbone.sha256}"),
        ],
    )


def _facts(out: Console, facts: Sequence[tuple[str, str]]) -> None:
    for name, value in facts:
        if value:
            out.print(f"{name}: {value}", soft_wrap=True)


DESCRIBE: dict[str, Callable[[Console, Any, Registry], None]] = {
    "methods": _method,
    "datasets": _dataset,
    "tasks": _component,
    "engines": _component,
    "backbones": _backbone,
}
