"""The images that a training learns from and chooses on, drawn as its recipe and task say.

Lists are in the order of their draw and of all classes; `parts` selects classes from them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.data.checked import checked_samples, samples_if_any
from rppbench.data.draw_files import Draw, kept
from rppbench.data.few_shot import few_shot, few_shot_with_val
from rppbench.errors import UsageError
from rppbench.random_streams import seed_of
from rppbench.records.cell import DRAW, Training

NONE: Final = "none"
FEW_SHOT: Final = "few-shot"
HELD_OUT_SHOT: Final = "held-out-shot"
FULL: Final = "full"
"""Values of a recipe's `validation`."""
LONG_TAIL = "long-tail:"
"""Start of the name of a draw with an imbalance ratio."""
HOW_TO_AVOID = (
    f"--set recipe.validation={NONE} chooses nothing, "
    f"--set recipe.validation={HELD_OUT_SHOT} takes one shot of each class"
)


def validation_of(training: Training) -> str:
    """The recipe's `validation`."""
    return str(dict(training.recipe.options).get("validation", FEW_SHOT))


def chosen_on(dataset: Dataset, training: Training, searches: bool) -> str:
    """What a table says of the images that values were chosen on: 'few-shot', 'none, tuned: full'.

    searches: whether the method chooses values while it is learned.
    """
    kind = validation_of(training) if searches and validation_images(dataset, training) else NONE
    tuned = dict(training.recipe.options).get("tuned")
    return f"{kind}, tuned: {tuned}" if tuned else kind


def learned_shots(training: Training) -> int:
    """The number of images of each class that are learned from; a class may have fewer."""
    return training.shots - (validation_of(training) == HELD_OUT_SHOT)


def training_images(dataset: Dataset, training: Training) -> list[Sample]:
    """The images that are learned from."""
    drawn = _drawn(dataset, training)
    return _apart(drawn)[0] if validation_of(training) == HELD_OUT_SHOT else drawn


def validation_images(dataset: Dataset, training: Training, kind: str = "") -> Sequence[Sample]:
    """The images that values are chosen on; () for 'none', and for 'few-shot' without a split.

    `kind` takes the place of the recipe's `validation`.
    UsageError if some of them are test images, and for 'full' without a validation split.
    """
    kind = kind or validation_of(training)
    if kind == NONE:
        return ()
    if kind == HELD_OUT_SHOT:
        return _apart(_drawn(dataset, training))[1]
    if kind == FEW_SHOT and (in_file := _kept(training)) and in_file.val is not None:
        return in_file.val
    split = samples_if_any(dataset, "val")
    if not split:
        if kind == FULL:
            raise UsageError(
                f"data set {dataset.name!r} has no validation images for validation={FULL}: "
                f"{HOW_TO_AVOID}"
            )
        return ()
    refuse_test_images(dataset, split)
    if kind == FULL:
        return split
    train = checked_samples(dataset, "train")
    return few_shot_with_val(train, split, training.shots, training.seed)[1]


def imbalance(draw: str) -> float:
    """The ratio of 'long-tail:10'. UsageError unless it is a number of at least 1."""
    text = draw.removeprefix(LONG_TAIL)
    try:
        ratio = float(text)
    except ValueError:
        ratio = 0.0
    if not 1 <= ratio < math.inf:
        raise UsageError(f"the imbalance of {LONG_TAIL}{text} must be a number of at least 1")
    return ratio


def long_tail(drawn: Sequence[Sample], training: Training) -> list[Sample]:
    """The first images of each class of a draw, their number falling exponentially over classes.

    Of C classes in a random order the k-th (from 0) keeps round(shots ratio^(-k / (C - 1))) images,
    at least one: all shots of the first, a `ratio`-th of them of the last (Cui et al.,
    arXiv:1901.05555, section 5). The order comes from the stream ('long-tail', source, seed).
    """
    ratio = imbalance(training.draw)
    order = sorted({sample.label for sample in drawn})
    Random(seed_of("long-tail", training.source, training.seed)).shuffle(order)
    steps = max(1, len(order) - 1)
    left = {
        label: max(1, round(training.shots * ratio ** (-rank / steps)))
        for rank, label in enumerate(order)
    }
    kept_samples = []
    for sample in drawn:
        if left[sample.label]:
            left[sample.label] -= 1
            kept_samples.append(sample)
    return kept_samples


def refuse_test_images(dataset: Dataset, validation: Sequence[Sample]) -> None:
    """UsageError if some of these images are test images of the data set too."""
    try:
        test = checked_samples(dataset, "test")
    except UsageError:  # nothing is tested on it
        return
    keys = {sample.key for sample in test}
    shared = sum(sample.key in keys for sample in validation)
    if shared:
        raise UsageError(
            f"{shared:,} of {len(validation):,} validation images of {dataset.name!r} are test "
            f"images, so nothing may be chosen on them: {HOW_TO_AVOID}"
        )


def _drawn(dataset: Dataset, training: Training) -> list[Sample]:
    """All shots, also those that are held out."""
    if in_file := _kept(training):
        return list(in_file.train)
    drawn = few_shot(checked_samples(dataset, "train"), training.shots, training.seed)
    if training.draw.startswith(LONG_TAIL):
        return long_tail(drawn, training)
    return drawn


def _kept(training: Training) -> Draw | None:
    """The draw that a file holds; None for other draws."""
    name = dict(training.inputs).get(f"{DRAW}{training.source}")
    return kept(name) if name else None


def _apart(drawn: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The images without the last one of each class, and these; a class of one image keeps it."""
    left = Counter(sample.label for sample in drawn)
    counts = dict(left)
    learned: list[Sample] = []
    held_out: list[Sample] = []
    for sample in drawn:
        left[sample.label] -= 1
        last = not left[sample.label] and counts[sample.label] > 1
        (held_out if last else learned).append(sample)
    return learned, held_out
