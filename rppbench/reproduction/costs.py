"""Estimates of what cards cost, as a table."""

from __future__ import annotations

from collections.abc import Iterable

from rppbench.planning.costs.operations import Cost

HEADS = (
    *("Card", "Cells", "Trainings", "Training images", "Test images"),
    *("PFLOP (estimate)", "GPU hours (estimate)"),
)


def rows(costs: Iterable[tuple[str, Cost]]) -> list[list[str]]:
    """A row of texts for each name and cost, under `HEADS`."""
    return [
        [
            name,
            str(cost.cells),
            str(cost.trainings),
            f"{cost.train_images:,}" if cost.known else "–",
            f"{cost.test_images:,}" if cost.known else "–",
            f"{cost.operations / 1e15:,.1f}" if cost.known else "–",
            f"{cost.hours:,.1f}" if cost.known else "–",
        ]
        for name, cost in costs
    ]
