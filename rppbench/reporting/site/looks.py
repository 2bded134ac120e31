"""How methods look on every page: hue and shape say what is learned, lightness which method."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from rppbench.leaderboard.variants import Variant
from rppbench.records.record import LEARNS

FAMILIES = {
    "none": "nothing",
    "text": "text prompts",
    "image": "image prompts",
    "both": "both",
    "adapter": "on features",
    "other": "unknown",
}
"""What is learned, by family, as the pages name it."""


@dataclass(frozen=True)
class Look:
    """Shape and colour of a row."""

    family: str
    """A key of `FAMILIES`, which has a shape."""
    colour: str
    """A colour of CSS."""


def look(variant: Variant) -> Look:
    """The look of a row: its method's; one with options of its own is nearer to the text's colour.

    A method that `looks.toml` does not have takes the colour of the family that its records name.
    """
    newest = variant.newest
    name = newest.cell.method.name
    known = _known().get(name)
    if known:
        family, colour = known["family"], f"var(--m-{name})"
    else:
        family = newest.labels.get(LEARNS, "other")
        family = family if family in FAMILIES else "other"
        colour = f"var(--f-{family})"
    if newest.labels.get("method_options"):
        colour = f"color-mix(in srgb, {colour} 62%, var(--ink))"
    return Look(family, colour)


def colours() -> str:
    """The style sheet with the colour of each known method, in light and in dark."""
    lines = []
    for theme, selector in (("light", ":root"), ("dark", ':root[data-theme="dark"]')):
        values = " ".join(f"--m-{name}: {of[theme]};" for name, of in _known().items())
        lines.append(f"{selector} {{ {values} }}")
    return "\n".join(lines)


@cache
def _known() -> dict[str, dict[str, str]]:
    text = (files("rppbench.reporting") / "web" / "looks.toml").read_text("utf-8")
    return tomllib.loads(text)
