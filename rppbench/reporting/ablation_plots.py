"""Figure of an ablation: effects of single options above, interactions of two options below."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations, product

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rppbench.comparison.ablation import Ablation
from rppbench.leaderboard.number_format import difference_unit, unit
from rppbench.reporting.figure_style import INK, QUIET, colour, marker, styled
from rppbench.reporting.layout import conditions
from rppbench.stats.intervals import Interval

Levels = dict[str, list[str]]
"""The values of each option."""


@styled
def ablation_figure(report: Ablation) -> Figure | None:
    """The figure; None if no combination can be compared with the baseline."""
    levels = _levels(report)
    pairs = [pair for pair in combinations(levels, 2) if _lines(report, levels, *pair)]
    panels = [factor for factor in levels if _differences(report, factor)]
    if not any(result.against for result in report.results):
        return None
    if not panels:  # no combination changes a single option
        return _all_combinations(report)
    columns = min(3, max(len(panels), len(pairs)))
    above, below = -(-len(panels) // columns), -(-len(pairs) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.0 * (above + below)), layout="constrained")
    grid = figure.add_gridspec(above + below, columns)
    first = None  # one scale for all differences, or a small one would look large
    for index, factor in enumerate(panels):
        axis = figure.add_subplot(grid[divmod(index, columns)], sharey=first)
        first = first or axis
        _effect_panel(axis, report, factor, levels[factor])
    for index, pair in enumerate(pairs):
        row, column = divmod(index, columns)
        _interaction_panel(figure.add_subplot(grid[above + row, column]), report, levels, *pair)
    figure.suptitle("; ".join(conditions(report.table, learned=True)), fontsize=9, wrap=True)
    return figure


def _all_combinations(report: Ablation) -> Figure:
    """A figure with the difference of every combination."""
    differences = [(r.combination.label, r.against.difference) for r in report.results if r.against]
    figure = Figure(figsize=(7, 1 + 0.3 * len(differences)), layout="constrained")
    axis = figure.add_subplot()
    axis.axvline(0, color=QUIET, linewidth=0.8)
    for place, (_, difference) in enumerate(differences):
        axis.hlines(place, difference.low, difference.high, color=colour(0))
        axis.plot(difference.mean, place, marker="o", color=colour(0))
    axis.set_yticks(range(len(differences)), [label for label, _ in differences])
    axis.set_xlabel(f"Difference, {difference_unit(report.table.metric)}")
    return figure


def _levels(report: Ablation) -> Levels:
    """The options with several values: numbers ascending, words in the grid's order."""
    levels: Levels = {}
    for index, (factor, _) in enumerate(report.grid.baseline.levels):
        values = list(dict.fromkeys(c.levels[index][1] for c in report.grid.combinations))
        with suppress(ValueError):  # words keep their order
            values.sort(key=float)
        if len(values) > 1:
            levels[factor] = values
    return levels


def _differences(report: Ablation, factor: str) -> dict[str, tuple[float, float, float]]:
    """(mean, low, high) by value: main effects; without any, combinations that change it alone."""
    if report.effects:
        differences = [(e.level, e.difference) for e in report.effects if e.factor == factor]
    else:
        base = dict(report.grid.baseline.levels)
        differences = [
            (dict(r.combination.levels)[factor], r.against.difference)
            for r in report.results
            if r.against and {**dict(r.combination.levels), factor: base[factor]} == base
        ]
    return {level: (d.mean, d.low, d.high) for level, d in differences}


def _effect_panel(axis: Axes, report: Ablation, factor: str, levels: list[str]) -> None:
    differences = _differences(report, factor)
    axis.axhline(0, color=QUIET, linewidth=0.8)
    for place, level in enumerate(levels):
        mean, low, high = differences.get(level, (0.0, 0.0, 0.0))
        if level in differences:
            axis.vlines(place, low, high, color=colour(0))
            axis.plot(place, mean, marker="o", color=colour(0))
        elif level == dict(report.grid.baseline.levels)[factor]:
            axis.plot(place, 0, marker="D", color=INK)  # the reference
    axis.set_xticks(range(len(levels)), levels)
    title = f"{factor}: main effect" if report.effects else factor
    axis.set(
        xlabel=factor, ylabel=f"Difference, {difference_unit(report.table.metric)}", title=title
    )
    axis.margins(x=0.15)


def _lines(
    report: Ablation, levels: Levels, first: str, second: str
) -> dict[str, dict[str, Interval]]:
    """Means by value of `second`, then by value of `first`; other options as in the baseline.

    Empty unless two lines have at least two values of `first` in common.
    """
    same = dict(report.grid.same)
    complete = {r.combination.label: r for r in report.results if r.is_complete and r.row}
    lines: dict[str, dict[str, Interval]] = {}
    for a, b in product(levels[first], levels[second]):
        wanted = {**dict(report.grid.baseline.levels), first: a, second: b}
        label = ", ".join(f"{factor}={level}" for factor, level in wanted.items())
        result = complete.get(same.get(label, label))
        interval = result.row.headline.interval if result and result.row else None
        if interval:
            lines.setdefault(b, {})[a] = interval
    shared = [set(one) & set(two) for one, two in combinations(lines.values(), 2)]
    return lines if any(len(common) > 1 for common in shared) else {}


def _interaction_panel(
    axis: Axes, report: Ablation, levels: Levels, first: str, second: str
) -> None:
    metric = report.table.metric
    places = {level: index for index, level in enumerate(levels[first])}
    for index, (level, means) in enumerate(_lines(report, levels, first, second).items()):
        # Shifted sideways so that intervals do not hide each other.
        shift = 0.06 * (index - (len(levels[second]) - 1) / 2)
        axis.errorbar(
            [places[a] + shift for a in means],
            [interval.mean for interval in means.values()],
            [interval.half_width or 0.0 for interval in means.values()],
            label=f"{second}={level}",
            color=colour(index),
            marker=marker(index),
            capsize=2,
        )
    axis.set_xticks(range(len(places)), list(places))
    axis.set(xlabel=first, ylabel=f"{metric}, {unit(metric)}", title=f"{first} × {second}")
    axis.margins(x=0.15)
    axis.legend()
