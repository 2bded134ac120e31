"""Differences of an ablation as lines for a terminal: an interval on a common scale."""

from __future__ import annotations

from collections.abc import Iterator

from rppbench.comparison.ablation import Ablation
from rppbench.leaderboard.tables import decimals
from rppbench.stats.ranks import LEVEL

WIDTH = 41
"""Signs of the scale."""


def strips(report: Ablation) -> Iterator[str]:
    """'length=8  +0.4  ──┼──●──', one for each combination; nothing where none can be compared."""
    found = [(r.combination.label, r.against.difference) for r in report.results if r.against]
    if not found:
        return
    low = min(0.0, *(d.low for _, d in found))
    high = max(0.0, *(d.high for _, d in found))
    digits = decimals(report.table.metric)
    wide = max(len(label) for label, _ in found)

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (WIDTH - 1))

    yield f"differences from {report.results[0].combination.label}, with 95 % intervals:"
    for label, difference in found:
        signs = [" "] * WIDTH
        for index in range(place(difference.low), place(difference.high) + 1):
            signs[index] = "─"
        zero, middle = place(0.0), place(difference.mean)
        signs[zero] = "┼" if signs[zero] == "─" else "│"
        signs[middle] = "●" if report.corrected[label] < LEVEL else "○"
        yield f"  {label:<{wide}}  {difference.mean:+6.{digits}f}  {''.join(signs).rstrip()}"
    ends = f"{low:+.{digits}f}", f"{high:+.{digits}f}"
    scale = ends[0].ljust(WIDTH - len(ends[1])) + ends[1]
    yield f"  {'':<{wide}}  {'':>6}  {scale}  (● p < {LEVEL}, ○ not)"
