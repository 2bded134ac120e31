"""Flags that take several values, separated by spaces or commas, and may be repeated."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from os import path
from typing import Any

from rppbench.errors import UsageError

NAME = re.compile(r"[A-Za-z][\w.-]*(:|$)")
"""The start of a method or task: its name, and a colon where options follow."""


def choices(text: str) -> list[str]:
    """'zeroshot,rpp:kd=off,length=8' as 'zeroshot' and 'rpp:kd=off,length=8'.

    A comma ends a method only where another name follows: between options it separates those.
    """
    split: list[str] = []
    for part in text.split(","):
        if not split or NAME.match(part.strip()):
            split.append(part.strip())
        elif part.strip():
            split[-1] += f",{part}"
    return [part for part in split if part]


def names(text: str) -> list[str]:
    """'dtd,eurosat' as two data sets; a path that holds commas is one."""
    _, colon, place = text.partition(":")
    if path.exists(path.expanduser(place if colon else text)):
        return [text]
    return [part for part in (part.strip() for part in text.split(",")) if part]


def numbers(text: str) -> list[int]:
    """'1,2,3' as integers. UsageError for anything else."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"{text!r} is not an integer or a list such as 1,2,3") from None


class Several(argparse.Action):
    """Adds the values of the flag, each split by `parts`, to those given before."""

    def __init__(self, *, parts: Callable[[str], list[Any]], **others: Any) -> None:
        super().__init__(nargs="+", **others)
        self.parts = parts

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keep the values; UsageError names the flag."""
        given: Sequence[Any] = getattr(namespace, self.dest) or ()
        try:
            added = [part for value in values for part in self.parts(value)]
        except UsageError as error:
            raise UsageError(f"argument {option_string}: {error}") from None
        if not added:
            raise UsageError(f"argument {option_string}: no value in {' '.join(values)!r}")
        setattr(namespace, self.dest, [*given, *added])
