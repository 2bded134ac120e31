"""Figures by matplotlib: one style, and SVG that is the same every time and takes a page's colours.

Slow to import; only what draws does it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from io import BytesIO, StringIO

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1c2127"
QUIET = "#8a9099"
SERIES = (
    "#0072b2",
    "#c75000",
    "#00795b",
    "#ae3a8a",
    "#7a6000",
    "#4b4bc0",
    "#5d6570",
    "#a3342a",
)
"""Told apart by the colour-blind, and dark enough on white; `web/style.css` has lighter twins."""
MARKERS = "osD^vPX*"

styled = rc_context(
    {
        "svg.fonttype": "none",  # letters stay letters: searchable, and small
        "svg.hashsalt": "rppbench",  # or identifiers would be random
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same widths everywhere
        "font.size": 10.0,
        "axes.titlesize": 10.0,
        "legend.fontsize": 9.0,
        "legend.frameon": False,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.facecolor": "none",
        "axes.edgecolor": QUIET,
        "grid.color": QUIET,
        "grid.alpha": 0.35,
        "grid.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    }
)
"""Wraps whatever draws or saves a figure."""


def colour(index: int) -> str:
    """Of the row with this index; they repeat."""
    return SERIES[index % len(SERIES)]


def marker(index: int) -> str:
    """Another sign for each colour, and again another where colours repeat."""
    return MARKERS[(index + index // len(SERIES)) % len(MARKERS)]


def panels(width: float, height: float, count: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """A figure (inches) with axes side by side."""
    made = Figure(figsize=(width, height), layout="constrained")
    return made, list(made.subplots(1, count, squeeze=False)[0])


@styled
def svg(drawn: Figure, background: str = "white") -> str:
    """The figure as an SVG file."""
    text = StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    drawn.savefig(text, format="svg", metadata=nothing, facecolor=background)
    return re.sub(r"[ \t]+$", "", text.getvalue(), flags=re.MULTILINE)


@styled
def png(drawn: Figure) -> bytes:
    """The figure as a PNG file, 150 dots an inch, for what shows no SVG."""
    content = BytesIO()
    drawn.savefig(content, format="png", dpi=150, metadata={"Software": None}, facecolor="white")
    return content.getvalue()


def inline(drawn: Figure, name: str, label: str) -> str:
    """The figure as an element of a page, in the page's colours.

    `name` keeps its identifiers apart from those of other figures; `label` is what a screen reader
    says.
    """
    text = svg(drawn, background="none")
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for sign in (' id="', "url(#", 'href="#'):
        text = text.replace(sign, f"{sign}{name}-")
    for index, hue in enumerate(SERIES):
        text = text.replace(hue, f"var(--series-{index})")
    text = text.replace(INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1).strip()
