"""Captions of training images: many wordings; words of style, size and background fit the image.

A learned prompt later takes the place of 'a photo of a', so the text tower must know many
beginnings of captions, and these must mean something.
"""

from __future__ import annotations

import random
from functools import lru_cache

PLAIN = (
    *("{}", "{}.", "a {}", "a {}.", "the {}.", "one {}", "this is a {}.", "here is the {}."),
    *("a photo of a {}.", "a photo of a {}.", "a photo of the {}.", "a picture of a {}."),
    *("an image of a {}.", "a drawing of a {}.", "a rendering of a {}.", "an icon of a {}."),
    *("a sticker of a {}.", "an emoji of a {}.", "a close-up photo of a {}.", "art of the {}."),
    *("a good photo of a {}.", "a photo of my {}.", "a photo of one {}.", "itap of a {}."),
    *("a bad photo of a {}.", "a low resolution photo of a {}.", "a cropped photo of a {}."),
    *("a photo of a {}, a type of {kind}.", "a {}, a kind of {kind}.", "{kind}: {}."),
    *("X X X X {}.", "there is a {} in the picture.", "look at the {}.", "can you see the {}?"),
)
"""`{}` is the concept's name, `{kind}` its emojibase subgroup in words."""

STYLED = (
    *("a {style} {}.", "a {style} picture of a {}.", "a {style} {} on {ground}."),
    *("a {size} {} on {ground}.", "a {size} {style} {}.", "a photo of a {size} {}."),
    *("a {} on {ground}.", "{ground} with a {} on it.", "a photo of a {} on {ground}."),
    *("{style}: {}.", "the {size} {}, {style}.", "a rendition of a {}, {style}."),
)

PAIRED = ("a {} and a {}.", "{} and {}", "a photo of a {} and a {}.", "a {} next to a {}.")

STYLES = {
    "noto": ("shaded", "cartoon", "soft shaded"),
    "noto-v1": ("blob", "rounded", "old cartoon"),
    "twemoji": ("flat", "simple flat", "plain"),
    "fluent-flat": ("clean flat", "modern flat", "smooth"),
    "fluent-3d": ("3d", "glossy 3d", "shiny"),
    "fluent-hc": ("black and white", "monochrome", "sketch of a", "black"),
}

COLOURS: dict[str, tuple[float, float, float]] = {
    "black": (0.08, 0.08, 0.08),
    "white": (0.95, 0.95, 0.95),
    "grey": (0.5, 0.5, 0.5),
    "red": (0.8, 0.2, 0.2),
    "orange": (0.9, 0.55, 0.2),
    "yellow": (0.9, 0.85, 0.3),
    "green": (0.3, 0.65, 0.3),
    "blue": (0.25, 0.4, 0.8),
    "purple": (0.55, 0.3, 0.7),
    "pink": (0.9, 0.6, 0.7),
    "brown": (0.45, 0.3, 0.2),
}


def colour_name(rgb: tuple[float, float, float]) -> str:
    """The name of the colour nearest to `rgb`, a background's mean colour in 0..1."""
    return min(
        COLOURS, key=lambda n: sum((a - b) ** 2 for a, b in zip(COLOURS[n], rgb, strict=True))
    )


@lru_cache(maxsize=4096)
def kind_words(kind: str) -> str:
    """'animal-mammal' -> 'mammal'; 'food-fruit' -> 'fruit'."""
    return kind.rsplit("-", 1)[-1]


def caption(
    stream: random.Random,
    name: str,
    kind: str,
    tags: tuple[str, ...],
    vendor: str,
    scale: float,
    ground: tuple[float, float, float],
) -> tuple[str, bool]:
    """A random caption, and whether it names the concept (a tag alone does not).

    `scale` is the drawing's size as a share of the image, `ground` the background's mean colour.
    """
    draw = stream.random()
    if draw < 0.07 and tags:
        return stream.choice(("{}", "a {}.", "a photo of a {}.")).format(stream.choice(tags)), False
    if draw < 0.12 and tags:
        return f"a {name}, {stream.choice(tags)}.", True
    if draw < 0.67:
        return stream.choice(PLAIN).format(name, kind=kind_words(kind)), True
    size = "small" if scale < 0.68 else "big" if scale > 0.9 else "medium"
    background = f"{colour_name(ground)} background"
    wording = stream.choice(STYLED)
    style = stream.choice(STYLES[vendor])
    return wording.format(name, style=style, size=size, ground=f"a {background}"), True
