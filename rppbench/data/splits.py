"""The part of a data set that a protocol uses: base, seen or all classes, and a limit of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.errors import UsageError
from rppbench.records.cell import UNLABELLED


def training_classes(dataset: Dataset, which: str) -> list[int]:
    """Labels that prompts are learned on: 'all', 'base' (first half) or 'seen' (not held out).

    `UNLABELLED` are all too; the method does not use their labels.
    """
    if which == "base":
        return dataset.halves()[0]
    labels = range(len(dataset.classes))
    if which == "seen":
        hidden = set(dataset.held_out())
        return [label for label in labels if label not in hidden]
    assert which in ("all", UNLABELLED), which
    return list(labels)


def of_classes(samples: Iterable[Sample], classes: Sequence[int]) -> list[Sample]:
    """The samples of the given classes, relabelled to positions in `classes`."""
    position = {label: index for index, label in enumerate(classes)}
    return [
        Sample(sample.key, position[sample.label]) for sample in samples if sample.label in position
    ]


def spread(samples: Sequence[Sample], limit: int | None) -> Sequence[Sample]:
    """At most `limit` samples, evenly spaced: a list sorted by class keeps all its classes."""
    if limit is None or limit >= len(samples):
        return samples
    if limit < 1:
        raise UsageError(f"limit must be at least 1, not {limit}")
    return [samples[i * len(samples) // limit] for i in range(limit)]
