"""Figures of a leaderboard table: cost, shots, mean ranks, data sets, training, reliability.

Means are in percent, with 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from rppbench.leaderboard.calibration import Curve
from rppbench.leaderboard.number_format import duration_text
from rppbench.leaderboard.tables import Row, Table
from rppbench.leaderboard.variants import Variant
from rppbench.reporting.figure_style import INK, QUIET, colour, figure_with_axes, marker, styled
from rppbench.reporting.shot_curve import ShotCurve
from rppbench.stats.ranks import split_letters

MAX_ROWS = 10
"""Number of rows in a figure; more cannot be told apart."""
MAX_GROUPS = 30
"""Number of groups that are drawn below a scale of ranks."""


def plotted_rows(table: Table) -> list[Row]:
    """The rows that figures have: the best `MAX_ROWS` with a number."""
    return [row for row in table.rows if row.headline.mean is not None][:MAX_ROWS]


@styled
def cost(table: Table) -> Figure | None:
    """Mean against training time and parameters; dotted lines for methods without training.

    None if no row is trained.
    """
    rows = plotted_rows(table)
    trained = [i for i, row in enumerate(rows) if row.train_seconds and row.parameters]
    if not trained:
        return None
    figure, axes = figure_with_axes(8.5, 3.6, 2)
    for index, row in enumerate(rows):
        mean, spread = row.headline.mean, row.headline.interval
        assert mean is not None
        for axis, value in zip(axes, (row.train_seconds, row.parameters), strict=True):
            if not value:
                axis.axhline(mean, color=colour(index), linestyle=":", label=row.label)
                continue
            half = spread.half_width if spread else None
            style: dict[str, Any] = {"color": colour(index), "marker": marker(index), "ls": "none"}
            axis.errorbar(value, mean, half, label=row.label, capsize=2, elinewidth=1, **style)
    measure = f"{table.metric}, %" if table.by_metric else f"mean {table.metric}, %"
    axes[0].set(xlabel="Training time", ylabel=measure)
    axes[1].set(xlabel="Trained parameters")
    for axis, spell in zip(axes, (duration_text, lambda value: f"{value:,.0f}"), strict=True):
        _log_axis(axis, spell)
        axis.grid(True)
    _legend(figure, axes[0])
    return figure


@styled
def by_shots(curve: ShotCurve) -> Figure | None:
    """Mean by number of shots; dotted lines for methods without training. None without means."""
    figure, (axis,) = figure_with_axes(7.0, 3.8)
    numbers = list(curve.tables)
    for index, (label, rows) in enumerate(list(curve.rows.items())[:MAX_ROWS]):
        spreads = [
            (n, spread) for n, row in sorted(rows.items()) if (spread := row.headline.interval)
        ]
        points, values = [n for n, _ in spreads], [spread.mean for _, spread in spreads]
        if any(row.deterministic for row in rows.values()):
            axis.plot(points, values, color=colour(index), linestyle=":", label=label)
        elif points:
            halves = [spread.half_width or 0 for _, spread in spreads]
            style: dict[str, Any] = {"color": colour(index), "marker": marker(index), "ms": 4}
            axis.errorbar(points, values, halves, label=label, capsize=2, elinewidth=1, **style)
    if not axis.has_data():
        return None
    axis.set_xscale("log", base=2)
    axis.set_xticks(numbers, [str(n) for n in numbers])
    axis.xaxis.set_minor_locator(NullLocator())
    metric = curve.table.metric
    measure = f"{metric}, %" if curve.table.by_metric else f"Mean {metric}, %"
    axis.set(xlabel="Images per class", ylabel=measure)
    axis.grid(True)
    _legend(figure, axis)
    return figure


@styled
def ranks(table: Table) -> Figure | None:
    """Rows on a scale of mean ranks, a line for each group; None if the table has no ranking.

    The layout is that of a critical-difference diagram (Demšar, 2006), but a group need not be all
    rows between two ranks: its members have a dot.
    """
    if table.ranking is None:
        return None
    ranked = sorted(
        ((row.rank, row.label) for row in table.rows if row.rank), key=lambda pair: pair[0].mean
    )
    lettered = [(rank.mean, split_letters(rank.groups)) for rank, _ in ranked]
    letters = dict.fromkeys(letter for _, own in lettered for letter in own)
    groups = [[mean for mean, own in lettered if letter in own] for letter in letters]
    groups = [group for group in groups if len(group) > 1][:MAX_GROUPS]
    left = (len(ranked) + 1) // 2
    top = -0.35 * (len(groups) + 1)  # where names begin, below the bars of the groups
    width, height = 8.5, 0.3 * (left - top + 2)
    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.hlines(0, 1, len(ranked), color=INK, linewidth=1)
    for tick in range(1, len(ranked) + 1):
        axis.vlines(tick, 0, 0.25, color=INK, linewidth=1)
        axis.text(tick, 0.4, str(tick), ha="center", va="bottom")
    for index, group in enumerate(groups):
        depth = -0.35 * (index + 1)
        axis.plot(group, [depth] * len(group), color=INK, linewidth=1.5, marker="o", markersize=4)
    reach = 0.05 * len(ranked)
    names = 0.3 + 0.09 * max(len(label) + 5 for _, label in ranked)  # inches, on either side
    names = min(names, width / 3)
    side = reach + names * (len(ranked) - 1 + 2 * reach) / (width - 2 * names)
    axis.set(xlim=(1 - side, len(ranked) + side), ylim=(top - left - 0.2, 1.2))
    for index, (rank, label) in enumerate(ranked):
        first = index < left
        place = top - (index if first else len(ranked) - 1 - index) - 0.4
        edge = 1 - reach if first else len(ranked) + reach
        axis.plot([rank.mean, rank.mean, edge], [0, place, place], color=QUIET, linewidth=1)
        text = f"{label}  {rank.mean:.1f}" if first else f"{rank.mean:.1f}  {label}"
        gap = -0.05 if first else 0.05
        axis.text(edge + gap, place, text, ha="right" if first else "left", va="center")
    axis.set_axis_off()
    return figure


@styled
def bars(table: Table) -> Figure | None:
    """A bar for each row on each data set, with its interval; None for fewer than two rows."""
    rows = plotted_rows(table)
    if len(rows) < 2:
        return None
    thick = 0.8 / len(rows)
    figure, (axis,) = figure_with_axes(7.0, 0.9 + len(table.columns) * (0.14 + 0.115 * len(rows)))
    for index, row in enumerate(rows):
        entries = [(i, entry) for i, entry in enumerate(row.entries) if entry.mean is not None]
        places = [i + thick * (index + 0.5) - 0.4 for i, _ in entries]
        widths = [entry.mean or 0.0 for _, entry in entries]
        axis.barh(places, widths, thick * 0.86, color=colour(index), label=row.label)
        for place, (_, entry) in zip(places, entries, strict=True):
            spread = entry.interval
            if spread and spread.half_width:
                low, high = spread.mean - spread.half_width, spread.mean + spread.half_width
                axis.hlines(place, max(0.0, low), high, color=INK, linewidth=0.9)
    axis.set_yticks(range(len(table.columns)), [table.heading(c) for c in table.columns])
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(table.columns) - 0.45, -0.55)
    axis.set_xlabel("percent" if table.by_metric else f"{table.metric}, %")
    axis.grid(True, axis="x")
    _legend(figure, axis)
    return figure


@styled
def curves(table: Table, variants: Sequence[Variant]) -> Figure | None:
    """Loss and accuracy of training batches by epoch, mean over trainings; None without a log."""
    logs = {variant.label: _mean_log(variant) for variant in variants}
    rows = [(i, row.label) for i, row in enumerate(plotted_rows(table)) if logs[row.label]]
    if not rows:
        return None
    figure, axes = figure_with_axes(8.5, 3.4, 2)
    for index, label in rows:
        log = logs[label]
        for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
            points = [(epoch, of[name]) for epoch, of in log.items() if name in of]
            if points:
                style: dict[str, Any] = {"color": colour(index), "marker": marker(index), "ms": 4}
                axis.plot([e for e, _ in points], [v for _, v in points], label=label, **style)
    axes[0].set(xlabel="Epoch", ylabel="Loss")
    axes[1].set(xlabel="Epoch", ylabel="Accuracy of the batches, %")
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(True)
    _legend(figure, axes[0])
    return figure


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


def _mean_log(variant: Variant) -> dict[int, dict[str, float]]:
    """Training log by epoch, as means over the variant's trainings."""
    logs = {r.cell.training.key: r.training_log for r in variant.records if r.cell.training}
    values: dict[int, dict[str, list[float]]] = {}
    for log in logs.values():
        for entry in log:
            of_epoch = values.setdefault(int(entry["epoch"]), {})
            for name, value in entry.items():
                of_epoch.setdefault(name, []).append(value)
    return {
        epoch: {name: fmean(of_name) for name, of_name in of_epoch.items()}
        for epoch, of_epoch in sorted(values.items())
    }


def _log_axis(axis: Axes, spell: Callable[[float], str]) -> None:
    """Log scale with up to four ticks, evenly spaced over the data's range, labelled by `spell`."""
    low, high = axis.dataLim.intervalx
    axis.set_xscale("log")
    axis.set_xlim(low / 1.4, high * 1.4)
    count = 4 if high > 1.5 * low else 1
    ticks = [low * (high / low) ** (i / max(1, count - 1)) for i in range(count)]
    axis.set_xticks(ticks)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: spell(value)))
    axis.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, handlelength=1.4)
