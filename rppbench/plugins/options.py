"""A component's options: the keyword-only parameters of its `__init__`, typed by their defaults."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rppbench.errors import UsageError, unknown
from rppbench.records.cell import Choice, Option, spell

WORDS = {
    "on": True,
    "true": True,
    "yes": True,
    "1": True,
    "off": False,
    "false": False,
    "no": False,
    "0": False,
}


def options(component: type[Any]) -> dict[str, Option]:
    """Option names and defaults; a method that is learned takes the fields of `Supervision` too."""
    own: dict[str, Option] = {
        parameter.name: parameter.default
        for parameter in inspect.signature(component).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    learning = getattr(component, "learning", None)
    return own if learning is None else {**own, **asdict(learning.supervision)}


def choices(component: type[Any]) -> dict[str, tuple[Option, ...]]:
    """The possible values of options that are annotated as a Literal of words."""
    # Hints are resolved from the class's own module, where its imports are.
    hints = get_type_hints(component.__init__)
    return {
        name: get_args(hint)
        for name, hint in hints.items()
        if get_origin(hint) is Literal and name in options(component)
    }


def parse_value(name: str, text: str, default: Option) -> Option:
    """The value of an option from the command line, with the type of its default."""
    if isinstance(default, bool):
        if text.lower() not in WORDS:
            raise UsageError(f"option {name!r} is on or off, not {text!r}")
        return WORDS[text.lower()]
    if isinstance(default, str):
        return text
    kind = type(default)
    try:
        return kind(text)
    except ValueError:
        words = {int: "an integer", float: "a number"}
        raise UsageError(f"option {name!r} is {words[kind]}, not {text!r}") from None


def parse(component: type[Any], name: str, text: str) -> dict[str, Option]:
    """'length=8,kd=off' as typed options of the component. UsageError lists its options."""
    defaults = options(component)
    explicit: dict[str, Option] = {}
    comma_hint = "a value with a comma is given as --set NAME=VALUE"
    for part in filter(None, text.split(",")):
        hints = [comma_hint] if explicit else []
        key, equals, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            wrong = f"{name}: write options as NAME=VALUE, not {part!r}"
            raise UsageError("\n".join([wrong, *hints]))
        if key not in defaults:
            known = [f"{option}={spell(default)}" for option, default in defaults.items()]
            raise unknown(
                f"option of {name!r} is named",
                key,
                defaults,
                "options",
                [f"{name} takes: {', '.join(known) or 'no options'}", *hints],
            )
        explicit[key] = parse_value(key, value.strip(), defaults[key])
    check(component, name, explicit)
    return explicit


def check(component: type[Any], name: str, values: Mapping[str, Option]) -> None:
    """Raise UsageError for a value that is not among those of a Literal option."""
    for option, allowed in choices(component).items():
        if option in values and values[option] not in allowed:
            words = [spell(value) for value in allowed]
            what = f"value of option {option!r} of {name!r} is named"
            raise unknown(what, spell(values[option]), words, "values")


def resolve(component: type[Any], explicit: Mapping[str, Option]) -> Choice:
    """The component with the values of all its options, sorted by name."""
    check(component, component.name, explicit)
    return Choice(component.name, tuple(sorted({**options(component), **explicit}.items())))
