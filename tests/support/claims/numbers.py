"""Numbers as pages write them."""

from __future__ import annotations

import re

NUMBER = re.compile(r"(?<![\w/.-])[+-]?\d[\d,]*(?:\.\d+)?(?![\w/]|\.\d)")
MEASURED = re.compile(
    r"(?<![\w/.:-])[+-]?\d[\d,]*(?:\.\d+(?![\w/]|\.\d)"
    r"| (?:%|times|points|hours?|minutes?|min|seconds?|s|ms|GiB|MB)(?!\w))"
)
"""A number that was measured, by its look: with a decimal, or with a unit."""
CONVENTION = re.compile(r"95 % (?:interval|intervals|of)\b")


def on_one_line(text: str) -> str:
    return " ".join(text.split())


def numbers(words: str) -> list[str]:
    """The numbers in a text as they are written, without a plus sign or commas."""
    return [number.lstrip("+").replace(",", "") for number in NUMBER.findall(words)]


def measured(words: str) -> list[re.Match[str]]:
    """The numbers in a text that look measured; '95 % interval' is no measurement."""
    conventions = {found.start() for found in CONVENTION.finditer(words)}
    return [found for found in MEASURED.finditer(words) if found.start() not in conventions]


def agrees(written: str, value: float) -> bool:
    """Whether a number is what a value rounds to, at the written digits, be it without its sign."""
    digits = len(written.partition(".")[2])
    return f"{value:.{digits}f}" == written or f"{abs(value):.{digits}f}" == written.lstrip("-")
