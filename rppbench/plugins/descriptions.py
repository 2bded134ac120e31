"""The texts that records hold for tables and pages: titles, options, descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rppbench.plugins.options import options
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Choice, Option
from rppbench.records.record import ABOUT, LEARNS, QUESTION

if TYPE_CHECKING:  # importing torch takes longer than all else here
    from rppbench.contracts.method import Method
    from rppbench.contracts.task import Task


def labels(registry: Registry, cell: Cell) -> dict[str, str]:
    """The texts of a cell in tables: titles, options and the position of its data set."""
    method = registry.get("methods", cell.method.name)
    task = registry.get("tasks", cell.task.name)
    dataset = registry.get("datasets", cell.dataset)
    training = cell.training
    role = "few-shot" if dataset.few_shot or dataset.role == "transfer" else dataset.role
    members = list(registry.names(dataset.suite, role))
    return {
        "method": method.title,
        "method_options": changed_options(registry, cell),
        "paper": method.paper,
        "task": task.title,
        "task_options": cell.task.label(options(task)),
        "dataset": dataset.title,
        "dataset_order": str(members.index(cell.dataset)) if cell.dataset in members else "",
        "suite": dataset.suite,
        "recipe": training.recipe.name if training else "",
        "source": registry.get("datasets", training.source).title if training else "",
        **_descriptions(method, task, cell),
    }


def changed_options(registry: Registry, cell: Cell) -> str:
    """The options of a cell's method that differ from its defaults: 'kd=off, length=8'."""
    method = registry.get("methods", cell.method.name)
    defaults = options(method)
    if cell.training is not None:  # values that the recipe sets are its own, not the user's
        recipes = method.learning.recipes
        recipe = next((r for r in recipes if r.name == _base_name(cell.training.recipe)), None)
        defaults = {**defaults, **dict(recipe.options if recipe else ())}
    return cell.method.label(defaults)


def _base_name(recipe: Choice) -> str:
    return recipe.name.split("+")[0]


def _descriptions(method: type[Method], task: type[Task], cell: Cell) -> dict[str, str]:
    """The labels of a cell's record with these descriptions; without those that are empty."""
    texts = {
        ABOUT: _first_paragraph(method),
        LEARNS: learns(method, dict(cell.method.options)),
        QUESTION: task.question,
    }
    return {name: text for name, text in texts.items() if text}


def learns(method: type[Method], options: Mapping[str, Option]) -> str:
    """What a method learns under these options, as the label `LEARNS` says it."""
    if method.learning is None:
        return "none"
    towers = set(method.prompted_towers(options))
    return "both" if len(towers) > 1 else next(iter(towers), "adapter")


def _first_paragraph(method: type[Method]) -> str:
    """The first paragraph of the method's docstring, on one line; '' without one."""
    return " ".join((method.__doc__ or "").strip().partition("\n\n")[0].split())
