"""Rows by name: a row's label, or the method as the command line spells it ('rpp:kd=off')."""

from __future__ import annotations

from collections.abc import Sequence

from rppbench.errors import UsageError
from rppbench.leaderboard.variants import Variant
from rppbench.plugins.options import parse_value
from rppbench.records.cell import Option


def spelling(variant: Variant) -> str:
    """The method as the command line takes it: 'rpp:kd=off,length=8'."""
    changed = variant.newest.labels.get("method_options", "").replace(", ", ",")
    name = variant.newest.cell.method.name
    return f"{name}:{changed}" if changed else name


def matches(variant: Variant, text: str) -> bool:
    """Whether the text is the variant's label, or names its method and all changed options."""
    if variant.label == text:
        return True
    name, _, tail = text.partition(":")
    method = variant.newest.cell.method
    if name.strip() != method.name:
        return False
    options = dict(method.options)
    settings = [part.partition("=") for part in filter(None, tail.split(","))]
    named = {key.strip().replace("-", "_"): value.strip() for key, _, value in settings}
    _, _, changed = spelling(variant).partition(":")
    unnamed = {part.partition("=")[0] for part in changed.split(",") if part} - set(named)
    return not unnamed and all(
        key in options and _is_value(key, value, options[key]) for key, value in named.items()
    )


def select(variants: Sequence[Variant], text: str) -> Variant | None:
    """The variant that the text names; None if it names no variant.

    A label takes precedence over a spelling. Raises UsageError if several match.
    """
    exact = [variant for variant in variants if variant.label == text]
    matching = exact or [variant for variant in variants if matches(variant, text)]
    if len(matching) > 1:
        labels = [f"  {variant.label}" for variant in matching]
        raise UsageError(
            "\n".join([f"{text!r} matches several rows; write one of these labels:", *labels])
        )
    return matching[0] if matching else None


def _is_value(name: str, text: str, value: Option) -> bool:
    try:
        return parse_value(name, text, value) == value
    except UsageError:  # not of the option's type (a word for a number): no row has it
        return False
