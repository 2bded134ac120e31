"""An ablation as a figure: main effects above, below them how two options act together."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations, product

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rppbench.comparison.ablation import Ablation
from rppbench.leaderboard.tables import points, unit
from rppbench.reporting.figure_style import INK, QUIET, colour, marker, styled
from rppbench.reporting.layout import conditions
from rppbench.stats.intervals import Interval

Levels = dict[str, list[str]]


@styled
def figure(report: Ablation) -> Figure | None:
    """None where no combination can be compared with the baseline."""
    levels = _levels(report)
    pairs = [pair for pair in combinations(levels, 2) if _lines(report, levels, *pair)]
    panels = [factor for factor in levels if _differences(report, factor)]
    if not any(result.against for result in report.results):
        return None
    if not panels:  # nothing changes one option alone
        return _whole(report)
    columns = min(3, max(len(panels), len(pairs)))
    above, below = -(-len(panels) // columns), -(-len(pairs) // columns)
    drawn = Figure(figsize=(3.4 * columns, 3.0 * (above + below)), layout="constrained")
    grid = drawn.add_gridspec(above + below, columns)
    first = None  # one scale for all differences, or a small one would look large
    for index, factor in enumerate(panels):
        axis = drawn.add_subplot(grid[divmod(index, columns)], sharey=first)
        first = first or axis
        _main(axis, report, factor, levels[factor])
    for index, pair in enumerate(pairs):
        row, column = divmod(index, columns)
        _interaction(drawn.add_subplot(grid[above + row, column]), report, levels, *pair)
    drawn.suptitle("; ".join(conditions(report.table, learned=True)), fontsize=9, wrap=True)
    return drawn


def _whole(report: Ablation) -> Figure:
    """Every combination's difference."""
    found = [(r.combination.label, r.against.difference) for r in report.results if r.against]
    drawn = Figure(figsize=(7, 1 + 0.3 * len(found)), layout="constrained")
    axis = drawn.add_subplot()
    axis.axvline(0, color=QUIET, linewidth=0.8)
    for place, (_, difference) in enumerate(found):
        axis.hlines(place, difference.low, difference.high, color=colour(0))
        axis.plot(difference.mean, place, marker="o", color=colour(0))
    axis.set_yticks(range(len(found)), [label for label, _ in found])
    axis.set_xlabel(f"Difference, {points(report.table.metric)}")
    return drawn


def _levels(report: Ablation) -> Levels:
    """Values of each option that has several, in the order of the grid's file or of size."""
    found: Levels = {}
    for index, (factor, _) in enumerate(report.grid.baseline.levels):
        values = list(dict.fromkeys(c.levels[index][1] for c in report.grid.combinations))
        with suppress(ValueError):  # words stay in order
            values.sort(key=float)
        if len(values) > 1:
            found[factor] = values
    return found


def _differences(report: Ablation, factor: str) -> dict[str, tuple[float, float, float]]:
    """(mean, low, high) by value: the main effect, or of a plain grid the combination's own."""
    if report.effects:
        known = [(e.level, e.difference) for e in report.effects if e.factor == factor]
    else:
        base = dict(report.grid.baseline.levels)
        known = [
            (dict(r.combination.levels)[factor], r.against.difference)
            for r in report.results
            if r.against and {**dict(r.combination.levels), factor: base[factor]} == base
        ]
    return {level: (d.mean, d.low, d.high) for level, d in known}


def _main(axis: Axes, report: Ablation, factor: str, levels: list[str]) -> None:
    found = _differences(report, factor)
    axis.axhline(0, color=QUIET, linewidth=0.8)
    for place, level in enumerate(levels):
        mean, low, high = found.get(level, (0.0, 0.0, 0.0))
        if level in found:
            axis.vlines(place, low, high, color=colour(0))
            axis.plot(place, mean, marker="o", color=colour(0))
        elif level == dict(report.grid.baseline.levels)[factor]:
            axis.plot(place, 0, marker="D", color=INK)  # what it is compared with
    axis.set_xticks(range(len(levels)), levels)
    title = f"{factor}: main effect" if report.effects else factor
    axis.set(xlabel=factor, ylabel=f"Difference, {points(report.table.metric)}", title=title)
    axis.margins(x=0.15)


def _lines(
    report: Ablation, levels: Levels, first: str, second: str
) -> dict[str, dict[str, Interval]]:
    """Means by value of `second`, then of `first`, other options at the baseline's values.

    Empty unless two lines have two values in common.
    """
    same = dict(report.grid.same)
    known = {r.combination.label: r for r in report.results if r.whole and r.row}
    found: dict[str, dict[str, Interval]] = {}
    for a, b in product(levels[first], levels[second]):
        wanted = {**dict(report.grid.baseline.levels), first: a, second: b}
        label = ", ".join(f"{factor}={level}" for factor, level in wanted.items())
        result = known.get(same.get(label, label))
        shown = (result.row.average or result.row.entries[0]) if result and result.row else None
        if shown and shown.interval:
            found.setdefault(b, {})[a] = shown.interval
    shared = [set(one) & set(two) for one, two in combinations(found.values(), 2)]
    return found if any(len(common) > 1 for common in shared) else {}


def _interaction(axis: Axes, report: Ablation, levels: Levels, first: str, second: str) -> None:
    metric = report.table.metric
    places = {level: index for index, level in enumerate(levels[first])}
    for index, (level, shown) in enumerate(_lines(report, levels, first, second).items()):
        shift = 0.06 * (index - (len(levels[second]) - 1) / 2)  # or intervals would hide each other
        axis.errorbar(
            [places[a] + shift for a in shown],
            [interval.mean for interval in shown.values()],
            [interval.half_width or 0.0 for interval in shown.values()],
            label=f"{second}={level}",
            color=colour(index),
            marker=marker(index),
            capsize=2,
        )
    axis.set_xticks(range(len(places)), list(places))
    axis.set(xlabel=first, ylabel=f"{metric}, {unit(metric)}", title=f"{first} × {second}")
    axis.margins(x=0.15)
    axis.legend()
