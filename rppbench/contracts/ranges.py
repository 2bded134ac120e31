"""The range of an option, declared beside its type: `length: Annotated[int, Range(1, 1000)] = 4`.

A value outside it is refused when a run is planned, before anything is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from rppbench.errors import UsageError, unknown
from rppbench.records.cell import Option, spell

LARGEST = 2**53
"""No number is larger: JSON readers round integers beyond it."""


@dataclass(frozen=True)
class Range:
    """The least and the greatest value of a number, both allowed."""

    least: float
    most: float = math.inf


@dataclass(frozen=True)
class BlockCount(Range):
    """A number of blocks that a method enters in each tower that it prompts.

    A plan compares it with the backbone's blocks: `depth: Annotated[int, BlockCount(0, 1000)] = 9`.
    """


def hints(annotated: Any) -> dict[str, Any]:
    """The types of a function's parameters or a class's fields, with what `Annotated` adds."""
    return get_type_hints(annotated, include_extras=True)


def words(hint: Any) -> tuple[Option, ...]:
    """The values of a Literal; () for any other type."""
    return get_args(hint) if get_origin(hint) is Literal else ()


def limits(hint: Any) -> Range | None:
    """The range that a type was annotated with."""
    if get_origin(hint) is not Annotated:
        return None
    return next((extra for extra in get_args(hint)[1:] if isinstance(extra, Range)), None)


def bounds(hint: Any) -> str:
    """The range that a type was annotated with, in words; '' without one."""
    span = limits(hint)
    if span is None:
        return ""
    least, most = f"{span.least:g}", f"{span.most:g}"
    return f"at least {least}" if span.most == math.inf else f"{least} to {most}"


def check_values(kinds: Mapping[str, Any], values: Mapping[str, Option], owner: str) -> None:
    """UsageError for the first value that is outside the words or the range of its type.

    `owner` ends the phrase "option 'length' of ...". No number may be infinite, NaN or beyond
    `LARGEST`.
    """
    for name, value in values.items():
        what = f"option {name!r} of {owner}"
        hint = kinds.get(name)
        allowed = words(hint)
        if allowed and value not in allowed:
            raise unknown(f"value of {what} is named", spell(value), map(spell, allowed), "values")
        if isinstance(value, str | bool):
            continue
        if not abs(value) <= LARGEST:  # false for NaN as well
            raise UsageError(f"{what} must be a number of usual size, not {_short(value)}")
        span = limits(hint)
        if span and not span.least <= value <= span.most:
            raise UsageError(f"{what} must be {bounds(hint)}, not {_short(value)}")


def _short(value: float) -> str:
    text = spell(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
