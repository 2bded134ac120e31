"""A made-up ablation grid and its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rppbench.records.grid import Combination, Grid, Place
from rppbench.records.outcomes import pack_outcomes
from rppbench.records.record import Record, Score
from support.records import record


def measured(length: str, kd: str, right: str, dataset: str = "flowers", seed: int = 1) -> Record:
    outcomes = [sign == "1" for sign in right]
    share = 100 * sum(outcomes) / len(outcomes)
    score = Score("top1", share, sum(outcomes), len(outcomes), pack_outcomes(outcomes))
    options = (("kd", kd == "on"), ("length", int(length)))
    return record("rpp", dataset, seed, scores=(score,), options=options)


def of_records(by_levels: Mapping[tuple[str, str], Sequence[Record]]) -> tuple[Grid, list[Record]]:
    combinations = tuple(
        Combination(
            (("length", length), ("kd", kd)),
            tuple(Place(r.key, r.cell.dataset, r.cell.seed) for r in records),
        )
        for (length, kd), records in by_levels.items()
    )
    return Grid("made", combinations), [r for records in by_levels.values() for r in records]


def whole_grid() -> dict[tuple[str, str], list[Record]]:
    """100 images of flowers: length 4 adds 20, no kd adds 10, both together add 10 more."""
    counts = {("2", "on"): 40, ("2", "off"): 50, ("4", "on"): 60, ("4", "off"): 80}
    return {
        levels: [
            measured(*levels, "1" * count + "0" * (100 - count), dataset, seed)
            for dataset, count in (("flowers", right), ("pets", 30))
            for seed in (1, 2)
        ]
        for levels, right in counts.items()
    }
