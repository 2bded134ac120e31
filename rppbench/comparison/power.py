"""The estimate behind a comparison of two rows, for the question how many seeds it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rppbench.comparison.by_image import on_common_seeds
from rppbench.comparison.compare import Comparison
from rppbench.stats.two_level import Estimate, estimate, estimate_over_seeds


@dataclass(frozen=True)
class Pilot:
    """A comparison that was made, as the pilot of a larger one."""

    seeds: tuple[int, ...]
    estimate: Estimate | None
    """Of the average over the data sets (of the only column); fractions, not percent. None where
    one seed, and no outcomes of images, say nothing."""


def pilot(comparison: Comparison) -> Pilot:
    """The pilot that a comparison is."""
    if comparison.pairs:
        pairs = comparison.pairs[:1] if comparison.table.by_metric else comparison.pairs
        common = on_common_seeds(pairs)
        if not common:
            return Pilot((), None)
        return Pilot(common[0].seeds, estimate([pair.part() for pair in common]))
    scores = comparison.average_by_seed or (
        comparison.by_seed[0][1] if comparison.by_seed else None
    )
    if scores is None or len(scores.seeds) < 2:
        return Pilot(scores.seeds if scores else (), None)
    changes = (np.array(scores.second) - np.array(scores.first)) / 100
    return Pilot(scores.seeds, estimate_over_seeds(changes))
