"""What the facts of a component must be, so that lists, plans and keys can rely on them."""

from __future__ import annotations

import inspect
import math
from typing import Any

from rppbench.plugins.containment import contained, line_of
from rppbench.plugins.options import choices, options

TEXTS = (
    *("title", "paper", "licence", "origin", "suite", "source_suite", "role", "template"),
    *("metric", "note"),
)
"""Facts that are texts; a component may lack those that its kind does not have."""
SPELT_WITH_OPTIONS = ("methods", "tasks", "engines")
"""Kinds whose names the command line takes as NAME:KEY=VALUE,..."""


def fault_of(kind: str, component: Any) -> str:
    """What is wrong with the facts of a component; '' if nothing is. May raise as its class may.

    AttributeError for a component without a name.
    """
    name = component.name
    if type(name) is not str:
        return f"its name must be a text, not {_shown(name)}"
    if not name or name != name.strip() or not name.isprintable() or name.startswith("-"):
        return f"{name!r} cannot be a name: it must be printable and not begin with a dash"
    if kind in SPELT_WITH_OPTIONS and set(name) & set(":,= "):
        return f"{name!r} cannot be a name: it holds a colon, comma, equals sign or space"
    for fact in TEXTS:
        value = getattr(component, fact, "")
        if type(value) is not str:
            return f"{fact} of {name!r} must be a text, not {_shown(value)}"
    for fact in ("large", "few_shot") if kind == "datasets" else ():
        if type(getattr(component, fact, False)) is not bool:
            return f"{fact} of {name!r} must be True or False"
    if kind == "tasks" and type(getattr(component, "version", 1)) is not int:
        return f"version of {name!r} must be an integer"
    if isinstance(component, type):
        missing = sorted(getattr(component, "__abstractmethods__", ()))
        if missing:
            return f"{name!r} does not implement {', '.join(missing)}"
    elif kind != "backbones":
        return f"{name!r} must be a class, not an object of {type(component).__name__}"
    return ""


def faulty_options(component: Any) -> str:
    """What is wrong with the options of a component; '' if nothing is."""
    if not isinstance(component, type):
        return ""
    try:
        with contained():
            for name, default in options(component).items():
                if fault := _faulty_default(name, default):
                    return fault
            choices(component)
            return _faulty_parameters(component)
    except Exception as error:  # noqa: BLE001  signatures and annotations are the plugin's
        return f"its options cannot be read: {line_of(error)}"


def _faulty_default(name: str, default: object) -> str:
    if default is inspect.Parameter.empty:
        return f"option {name!r} has no default"
    if type(default) not in (bool, int, float, str):
        return f"the default of option {name!r} must be on or off, a number or a text"
    if isinstance(default, float) and not math.isfinite(default):
        return f"the default of option {name!r} must be finite, not {default}"
    return ""


def _faulty_parameters(component: type[Any]) -> str:
    """A method is built with a space alone, every other component without arguments."""
    needed = [
        parameter.name
        for parameter in inspect.signature(component).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    given = ["space"] if hasattr(component, "learning") else []
    if len(needed) > len(given):
        left = ", ".join(needed[len(given) :])
        return f"its options must be keyword-only parameters with defaults, not {left}"
    return ""


def _shown(value: object) -> str:
    """The value as a message shows it; its class may be a plugin's."""
    try:
        return f"{value!r:.60}"
    except Exception:  # noqa: BLE001
        return f"an object of {type(value).__name__}"
