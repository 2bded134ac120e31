"""The figure of the reliability of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rppbench.leaderboard.calibration import Curve
from rppbench.reporting.figure_style import QUIET, colour, figure_with_axes, marker, styled

MAX_ROWS = 10
"""Number of rows in the figure; more cannot be told apart."""


@styled
def reliability(curves: Sequence[Curve]) -> Figure | None:
    """Accuracy against mean confidence of each bin, a panel for each part of the classes.

    A point above the diagonal is underconfident. None without a curve.
    """
    parts = list(dict.fromkeys(curve.part for curve in curves))
    rows = list(dict.fromkeys(curve.label for curve in curves))[:MAX_ROWS]
    if not parts:
        return None
    figure, axes = figure_with_axes(3.9 * len(parts) + 0.4, 4.2, len(parts))
    for axis, part in zip(axes, parts, strict=True):
        axis.plot([0, 100], [0, 100], color=QUIET, linewidth=1, linestyle=":")
        for curve in curves:
            if curve.part != part or curve.label not in rows:
                continue
            points = [
                (100 * one.confidence, 100 * one.accuracy) for one in curve.bins if one.images
            ]
            index = rows.index(curve.label)
            style: dict[str, Any] = {"color": colour(index), "marker": marker(index), "ms": 4}
            axis.plot([x for x, _ in points], [y for _, y in points], label=curve.label, **style)
        axis.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", title=part)
        axis.set(xlabel="Mean confidence, %", ylabel="Accuracy, %")
        axis.grid(True)
    _legend(figure, axes[0])
    return figure


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, handlelength=1.4)
