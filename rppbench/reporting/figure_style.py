"""Style and file formats of matplotlib figures: colours, SVG, PNG, and SVG inside an HTML page.

The same figure gives the same bytes every time. Matplotlib is slow to import: only modules that
draw import this one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO, StringIO

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rppbench.files.printable import printable
from rppbench.reporting.html_text import escape

INK = "#1c2127"
"""Colour of text and of marks that belong to no row."""
QUIET = "#8a9099"
"""Colour of axes and helper lines."""
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
"""Colours of rows: distinct for the colour-blind, dark on white; `web/tokens.css` lightens them."""
MARKERS = "osD^vPX*"
"""Markers of rows, in matplotlib's letters."""

styled = rc_context(
    {
        "svg.fonttype": "none",  # text, not outlines: searchable and small
        "svg.hashsalt": "rppbench",  # identifiers would be random otherwise
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
        "text.parse_math": False,  # a dollar sign in a name does not start a formula
    }
)
"""Decorator of functions that draw or save a figure: they do so in this style."""


def colour(index: int) -> str:
    """The colour of the row with this index; colours repeat after the last."""
    return SERIES[index % len(SERIES)]


def marker(index: int) -> str:
    """The marker of the row with this index; another one where its colour repeats."""
    return MARKERS[(index + index // len(SERIES)) % len(MARKERS)]


def figure_with_axes(width: float, height: float, count: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """A figure of this size in inches, and `count` axes side by side in it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


@styled
def svg(figure: Figure, background: str = "white") -> str:
    """The figure as the text of an SVG file."""
    text = StringIO()
    no_metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(text, format="svg", metadata=no_metadata, facecolor=background)
    content = printable(text.getvalue(), keep="\n\t")
    return re.sub(r"[ \t]+$", "", content, flags=re.MULTILINE)


@styled
def png(figure: Figure) -> bytes:
    """The figure as a PNG file with 150 dots an inch, for programs that cannot show SVG."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=150, metadata={"Software": None}, facecolor="white")
    return content.getvalue()


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an SVG element of an HTML page, in the page's colours.

    `name` is a prefix that makes its identifiers unique on the page; a screen reader reads `label`.
    """
    text = svg(figure, background="none")
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for before in (' id="', "url(#", 'href="#'):
        text = text.replace(before, f"{before}{name}-")
    for index, hue in enumerate(SERIES):
        text = text.replace(hue, f"var(--series-{index})")
    text = text.replace(INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1).strip()
