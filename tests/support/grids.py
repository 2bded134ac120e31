"""A made-up ablation grid and its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rppbench.records.grid import Combination, Grid, Place
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Record, Score
from support.records import record


def measured(length: str, kd: str, right: str, dataset: str = "flowers", seed: int = 1) -> Record:
    """A record of a combination; `right` has '1' for each image that is right, else '0'."""
    outcomes = [character == "1" for character in right]
    share = 100 * sum(outcomes) / len(outcomes)
    score = Score("top1", share, sum(outcomes), len(outcomes), PerImage.of(outcomes))
    options = (("kd", kd == "on"), ("length", int(length)))
    return record("rpp", dataset, seed, scores=(score,), options=options)


def grid_of(by_levels: Mapping[tuple[str, str], Sequence[Record]]) -> tuple[Grid, list[Record]]:
    """The grid of these combinations, by (length, kd), and all their records."""
    combinations = tuple(
        Combination(
            (("length", length), ("kd", kd)),
            tuple(Place(r.key, r.cell.dataset, r.cell.seed) for r in records),
        )
        for (length, kd), records in by_levels.items()
    )
    return Grid("made", combinations), [r for records in by_levels.values() for r in records]


def complete_grid() -> dict[tuple[str, str], list[Record]]:
    """Records of a 2x2 grid; of 100 flowers, length 4 gets 20 more right, no kd 10, both 40."""
    counts = {("2", "on"): 40, ("2", "off"): 50, ("4", "on"): 60, ("4", "off"): 80}
    return {
        levels: [
            measured(*levels, "1" * count + "0" * (100 - count), dataset, seed)
            for dataset, count in (("flowers", right), ("pets", 30))
            for seed in (1, 2)
        ]
        for levels, right in counts.items()
    }
