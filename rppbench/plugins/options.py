"""A component's options: the keyword-only parameters of its `__init__`, typed by their defaults."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from rppbench.contracts.ranges import bounds, check_values, hints, words
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


def options(component: Any) -> dict[str, Option]:
    """Option names and defaults; a method that is learned takes the fields of `Supervision` too."""
    return dict(_options(component))


@cache
def _options(component: Any) -> Mapping[str, Option]:
    own: dict[str, Option] = {
        parameter.name: parameter.default
        for parameter in inspect.signature(component).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    learning = getattr(component, "learning", None)
    return own if learning is None else {**own, **asdict(learning.supervision)}


@cache
def kinds(component: Any) -> Mapping[str, Any]:
    """The type of each option, with the range that it was annotated with."""
    # Hints are resolved from the class's own module, where its imports are.
    own = hints(component.__init__)
    learning = getattr(component, "learning", None)
    if learning is not None:
        own |= hints(type(learning.supervision))
    return {name: own[name] for name in options(component) if name in own}


def choices(component: Any) -> dict[str, str]:
    """What may be given for options that are annotated as a Literal of words or with a range."""
    texts = {
        name: " | ".join(map(spell, words(hint))) or bounds(hint)
        for name, hint in kinds(component).items()
    }
    return {name: text for name, text in texts.items() if text}


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


def check(component: Any, name: str, values: Mapping[str, Option]) -> None:
    """Raise UsageError for a value outside the words or the range of its option."""
    check_values(kinds(component), values, repr(name))


def resolve(component: type[Any], explicit: Mapping[str, Option]) -> Choice:
    """The component with the values of its options, sorted by name.

    An option of `later_options` is left out where it has its default.
    """
    check(component, component.name, explicit)
    usual, later = options(component), getattr(component, "later_options", ())
    values = {
        name: value
        for name, value in {**usual, **explicit}.items()
        if name not in later or value != usual[name]
    }
    return Choice(component.name, tuple(sorted(values.items())))
