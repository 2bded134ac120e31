"""Calibration: how far the confidence of predictions is from their accuracy.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of the calibration error."""


@dataclass(frozen=True)
class Bin:
    """The images whose confidence is in (low, high]; of the first bin also those with 0."""

    low: float
    high: float
    images: int
    confidence: float
    """Mean confidence of its images, in 0..1; 0 without any."""
    accuracy: float
    """Share of its images that are right, in 0..1; 0 without any."""

    @property
    def gap(self) -> float:
        """Mean confidence minus accuracy: above 0, the predictions are overconfident."""
        return self.confidence - self.accuracy


Outcomes = Sequence[bool] | NDArray[np.bool_]


def reliability(confidence: NDArray[np.float32], right: Outcomes, bins: int = BINS) -> list[Bin]:
    """The reliability curve: `bins` bins of equal width in (0, 1], the empty ones too.

    confidence (n,) is the probability of each image's best class, right (n,) whether that is its
    class.
    """
    sure, hits, at = _in_bins(confidence, right, bins)
    edges = np.linspace(0, 1, bins + 1)
    counts, sums, correct = (
        np.bincount(at, weights, minlength=bins) for weights in (None, sure, hits)
    )
    return [
        Bin(
            float(edges[index]),
            float(edges[index + 1]),
            int(counts[index]),
            float(sums[index] / max(1, counts[index])),
            float(correct[index] / max(1, counts[index])),
        )
        for index in range(bins)
    ]


def calibration_error(confidence: NDArray[np.float32], right: Outcomes) -> float:
    """Expected calibration error in 0..1: mean distance of confidence (n,) and accuracy.

    15 bins of equal width in (0, 1], each weighted by its images.
    """
    sure, hits, at = _in_bins(confidence, right, BINS)
    gaps = np.bincount(at, weights=sure - hits)
    return float(np.abs(gaps).sum() / len(hits))


def _in_bins(
    confidence: NDArray[np.float32], right: Outcomes, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Confidences, outcomes as 0 and 1, and the index of each image's bin."""
    sure, hits = confidence.astype(np.float64), np.asarray(right, np.float64)
    return sure, hits, np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], sure)
