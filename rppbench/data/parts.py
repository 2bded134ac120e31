"""The parts of data sets that a result is computed from, by name: 'folder:x:test', 'dtd:shots'.

A name holds all that is needed, beside the cell, to find the same images again.
"""

from __future__ import annotations

from collections.abc import Sequence

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.data.draws import training_images, validation_images
from rppbench.data.splits import of_classes, spread, training_classes
from rppbench.errors import UsageError
from rppbench.records.cell import Training

CLASSES = "classes"
"""Class names in order, and the template."""
ANNOTATIONS = "annotations"
"""Label maps or boxes of the test images."""
SHOTS = "shots"
"""The training images that were drawn."""
VAL_SHOTS = "val shots"
"""The validation images that were drawn."""
VALIDATION = "validation "
"""Prefix of a kind of validation images that a task scored."""
PRETRAINING = "pretraining "
"""Prefix of parts of a training that another one continues; once for each step back."""
COMPLETE = "all of "
"""Prefix of a split of which a task chose classes that have no name."""

GROUPS = ("", "base", "new", "seen", "held out")
"""Named groups of classes; '' are all."""


def part_name(dataset: Dataset, part: str) -> str:
    """The name of a part in a record."""
    return f"{dataset.name}:{part}"


def split_name(name: str) -> tuple[str, str]:
    """(data set, part) of a name."""
    dataset, _, part = name.rpartition(":")
    return dataset, part


def scored_part(dataset: Dataset, split: str, chosen: Sequence[int]) -> str:
    """The part that holds the images of a split, of the chosen classes."""
    for group in GROUPS:
        if list(chosen) == _labels(dataset, group):
            return f"{split} {group}".strip()
    return f"{COMPLETE}{split}"


def samples_of(
    dataset: Dataset, part: str, limit: int | None, training: Training | None
) -> Sequence[Sample]:
    """The images of a part other than `CLASSES`, for a cell with this limit and training.

    UsageError for a part that the data set does not have (any more).
    """
    if part == ANNOTATIONS:
        part = "test"
    while part.startswith(PRETRAINING) and training is not None:
        part, training = part.removeprefix(PRETRAINING), training.start
    if part in (SHOTS, VAL_SHOTS):
        if training is None:
            raise UsageError(f"nothing is learned from {dataset.name!r}")
        return (shots_of if part == SHOTS else val_shots_of)(dataset, training)
    if part.startswith(VALIDATION):
        assert training is not None
        images = validation_images(dataset, training, part.removeprefix(VALIDATION))
        return spread(of_classes(images, validated_classes(dataset, training)), limit)
    if part.startswith(COMPLETE):
        return dataset.samples(part.removeprefix(COMPLETE))
    split, _, group = part.partition(" ")
    samples = dataset.samples(split)
    if group:
        samples = of_classes(samples, _labels(dataset, group))
    return spread(samples, limit)


def shots_of(dataset: Dataset, training: Training) -> list[Sample]:
    """The images that are learned from, labelled by position among the learned classes."""
    drawn = training_images(dataset, training)
    return of_classes(drawn, training_classes(dataset, training.classes))


def val_shots_of(dataset: Dataset, training: Training) -> list[Sample]:
    """The images that values are chosen on, labelled in the same way; `validation_images`."""
    drawn = validation_images(dataset, training)
    return of_classes(drawn, training_classes(dataset, training.classes))


def validated_classes(dataset: Dataset, training: Training) -> list[int]:
    """The labels among which validation images are classified, of which all are scored.

    They are those that were learned, and of a data set that was not learned on all.
    """
    return training_classes(dataset, training.classes if training.source == dataset.name else "all")


def words_of(part: str) -> str:
    """What a part holds, for a person."""
    if part.startswith(PRETRAINING):
        return f"{words_of(part.removeprefix(PRETRAINING))} of the pretraining"
    if part.startswith(VALIDATION):
        return "validation images"
    known = {
        CLASSES: "class names or template",
        ANNOTATIONS: "annotations",
        SHOTS: "training images",
        VAL_SHOTS: "validation images",
    }
    return known.get(part) or f"{part.removeprefix(COMPLETE)} images"


def _labels(dataset: Dataset, group: str) -> list[int]:
    """The labels of a named group of classes."""
    if group in ("base", "new"):
        return list(dataset.halves()[group == "new"])
    if group == "held out":
        return list(dataset.held_out())
    return training_classes(dataset, group or "all")
