"""Reliability curves of the rows of a table, from the confidences that are kept beside records."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rppbench.files.atomic import Problem
from rppbench.leaderboard.variants import Variant
from rppbench.records.confidence import read_confidences
from rppbench.records.record import Record
from rppbench.stats.calibration import BINS, Bin, calibration_error, reliability


@dataclass(frozen=True)
class Curve:
    """The reliability of a row's predictions, over all images of its records."""

    label: str
    """Label of the row."""
    part: str
    """Name of the accuracy: 'top1', or 'base' and 'new', whose candidate classes differ."""
    records: int
    images: int
    accuracy: float
    """In percent, as `confidence` and `error`."""
    confidence: float
    error: float
    """Expected calibration error in 15 bins; of a single record the same as its recorded 'ece'."""
    bins: tuple[Bin, ...]


def curves(
    root: Path, variant: Variant, problems: list[Problem], bins: int = BINS
) -> Iterator[Curve]:
    """A curve for each part of a variant's scores; none for records without confidences.

    Damaged files are added to `problems` and left out, and so are outcomes that cannot be read.
    """
    sure: dict[str, list[NDArray[np.float32]]] = {}
    right: dict[str, list[bool]] = {}
    for record in variant.records:
        values = read_confidences(root, record)
        if isinstance(values, Problem):
            problems.append(values)
            continue
        for part, of_part in values.items():
            outcomes = _outcomes(record, part)
            if outcomes is not None:
                sure.setdefault(part, []).append(of_part)
                right.setdefault(part, []).extend(outcomes)
    for part in _in_order(variant.records, sure):
        confidence = np.concatenate(sure[part])
        yield Curve(
            variant.label,
            part,
            len(sure[part]),
            len(confidence),
            100 * float(np.mean(right[part])),
            100 * float(confidence.mean(dtype=np.float64)),
            100 * calibration_error(confidence, right[part]),
            tuple(reliability(confidence, right[part], bins)),
        )


def _outcomes(record: Record, part: str) -> list[bool] | None:
    score = record.score(part)
    try:
        return None if score is None else score.outcomes()
    except ValueError:  # `publish` and `compare` say so
        return None


def _in_order(records: Sequence[Record], parts: Collection[str]) -> list[str]:
    """The parts in the order of the scores: the file has its own."""
    metrics = dict.fromkeys(score.metric for record in records for score in record.scores)
    return [metric for metric in metrics if metric in parts]
