"""Outcomes of the images of records, as arrays: what intervals and comparisons are computed from.

Imported only where they are needed: numpy takes as long to import as a page takes to print.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rppbench.records.outcomes import IMAGE, PerImage
from rppbench.records.record import Record, Score
from rppbench.stats.intervals import harmonic_mean
from rppbench.stats.two_level import UNKNOWN, Part, Values

NOT_KEPT = "is not kept image by image"
"""Part of the reason why a metric without outcomes has no pair."""
HARMONIC_MEAN, HALVES = "harmonic_mean", ("base", "new")
"""The metric that combines two others, whose outcomes are kept."""


@dataclass(frozen=True)
class Outcomes:
    """What each test image contributes to a score; their mean is the score, in 0..1."""

    values: Values
    """(n,) or, for several seeds, (s, n)."""
    groups: NDArray[np.int64] | None
    """(n,) the number of each image's group; None if every image is on its own."""
    unit: str
    """'image', or what a group is."""
    counted: bool
    """Whether a value says if the image is right (1) or wrong (0)."""
    group_set: str = ""
    """Where it is equal, groups of one number are the same; '' if nothing is known of that."""
    extremes: tuple[float, ...] = ()
    """What images would contribute that are right and wrong; () if it is not known."""
    trained_on: frozenset[str] = UNKNOWN
    """`Cell.trained_on`, of all seeds."""

    @property
    def part(self) -> Part:
        """The outcomes of one method, for the interval of its mean."""
        # Of a harmonic mean a whole group is too much: it would move one half by its share there.
        return Part(
            self.values,
            self.groups,
            self.extremes,
            self.group_set,
            whole_groups=self.counted,
            trained_on=self.trained_on,
        )


def outcomes_of(record: Record | None, metric: str) -> Outcomes | str:
    """The outcomes of a record's images; or, as text, why there are none.

    The harmonic mean of `base` and `new` is a smooth function of two means: to first order, an
    image changes it by its own deviation times the derivative (the delta method), and by that each
    image of either half contributes.
    """
    score = record.score(metric) if record else None
    if record is None or score is None:
        return "no number"
    read = _read(record, score, metric)
    return read if isinstance(read, str) else replace(read, trained_on=record.cell.trained_on)


def _read(record: Record, score: Score, metric: str) -> Outcomes | str:
    if metric == HARMONIC_MEAN and score.per_image is None:
        return _harmonic(record, score.value / 100)
    if score.per_image is not None and score.total is None:
        return _influence(score, score.per_image)
    try:
        right, groups = score.outcomes(), score.groups()
    except ValueError as error:
        return f"{metric} cannot be read image by image: {error}"
    if right is None or score.per_image is None:
        return f"{metric} {NOT_KEPT}"
    numbers = None if groups is None else np.array(groups, np.int64)
    unit, named = score.per_image.unit, score.per_image.group_set
    return Outcomes(np.array(right, np.int8), numbers, unit, True, named, (0.0, 1.0))


def _influence(score: Score, per_image: PerImage) -> Outcomes | str:
    """The score, to which each image adds its influence (to first order, as below)."""
    try:
        influence = per_image.influence()
    except ValueError as error:
        return f"{score.metric} cannot be read image by image: {error}"
    if not influence:
        return f"{score.metric} {NOT_KEPT}"
    values = np.array(influence) / 100
    return Outcomes(score.value / 100 + values - values.mean(), None, IMAGE, False)


def _harmonic(record: Record, mean: float) -> Outcomes | str:
    halves = [outcomes_of(record, name) for name in HALVES]
    known = [half for half in halves if not isinstance(half, str)]
    if len(known) < len(halves):
        return f"{HARMONIC_MEAN} {NOT_KEPT}"
    base, new = (float(half.values.mean()) for half in known)
    if abs(harmonic_mean(base, new) - mean) > 1e-6:
        return f"{HARMONIC_MEAN} {NOT_KEPT}"
    images = sum(len(half.values) for half in known)
    # Of two zeros, as of any two equal halves, each counts half.
    share = new / (base + new) if base + new else 0.5
    slopes = (2 * share**2, 2 * (1 - share) ** 2)
    values, extremes = [], []
    for half, slope in zip(known, slopes, strict=True):
        weight = slope * images / len(half.values)
        values.append(mean + weight * (half.values - half.values.mean()))
        extremes += [mean + weight * (one - float(half.values.mean())) for one in half.extremes]
    groups = None
    if any(half.groups is not None for half in known):
        numbers, first = [], 0  # the halves are of different classes: no group is in both
        for half in known:
            own = np.arange(len(half.values)) if half.groups is None else half.groups
            numbers.append(own + first)
            first += int(own.max()) + 1
        groups = np.concatenate(numbers)
    unit = next((half.unit for half in known if half.groups is not None), IMAGE)
    return Outcomes(np.concatenate(values), groups, unit, False, extremes=tuple(extremes))


def same_images(one: Outcomes, other: Outcomes) -> str:
    """Why the outcomes are not of the same images; '' if they are, as far as is known."""
    if len(one.values) != len(other.values):
        return f"{len(one.values)} images against {len(other.values)}"
    if one.groups is not None and other.groups is not None and (one.groups != other.groups).any():
        return f"other groups of images ({one.unit} against {other.unit})"
    return ""


class Groups(NamedTuple):
    """How images belong together."""

    numbers: NDArray[np.int64] | None
    unit: str
    group_set: str


def all_trained_on(outcomes: Iterable[Outcomes]) -> frozenset[str]:
    """The data sets of all their trainings."""
    return frozenset[str]().union(*(one.trained_on for one in outcomes))


def shared_groups(outcomes: list[Outcomes]) -> Groups:
    """The groups that any of them knows. Records from before groups lack them."""
    for one in outcomes:
        if one.groups is not None:
            return Groups(one.groups, one.unit, one.group_set)
    return Groups(None, IMAGE, "")
