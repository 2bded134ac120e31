"""Interval chart of an ablation in characters, for a terminal: each difference on one scale."""

from __future__ import annotations

from collections.abc import Iterator

from rppbench.comparison.ablation import Ablation
from rppbench.leaderboard.number_format import decimals, signed_text
from rppbench.stats.ranks import LEVEL

WIDTH = 41
"""Width of the scale in characters."""


def interval_chart(report: Ablation) -> Iterator[str]:
    """The lines of the chart: a heading, 'length=8  +0.4  ──┼──●──' a combination, and a scale.

    No line if no combination can be compared with the baseline.
    """
    differences = [(r.combination.label, r.against.difference) for r in report.results if r.against]
    if not differences:
        return
    low = min(0.0, *(d.low for _, d in differences))
    high = max(0.0, *(d.high for _, d in differences))
    digits = decimals(report.table.metric)
    label_width = max(len(label) for label, _ in differences)

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (WIDTH - 1))

    yield f"differences from {report.results[0].combination.label}, with 95 % intervals:"
    for label, difference in differences:
        line = [" "] * WIDTH
        for index in range(place(difference.low), place(difference.high) + 1):
            line[index] = "─"
        zero, middle = place(0.0), place(difference.mean)
        line[zero] = "┼" if line[zero] == "─" else "│"
        line[middle] = "●" if report.corrected[label] < LEVEL else "○"
        mean = f"{signed_text(difference.mean, digits):>6}"
        yield f"  {label:<{label_width}}  {mean}  {''.join(line).rstrip()}"
    ends = signed_text(low, digits), signed_text(high, digits)
    scale = ends[0].ljust(WIDTH - len(ends[1])) + ends[1]
    yield f"  {'':<{label_width}}  {'':>6}  {scale}  (● p < {LEVEL}, ○ not)"
