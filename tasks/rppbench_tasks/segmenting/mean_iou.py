"""Scores of label maps, from one confusion matrix over all pixels of all images.

Each pixel is classified among all classes, seen and unseen (the generalised protocol; Xian et al.,
Semantic Projection Network for Zero- and Few-Label Semantic Segmentation, CVPR 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rppbench.contracts import IGNORED, PerImage, Score
from rppbench.errors import UsageError

Labels = NDArray[np.uint16]
Counts = NDArray[np.float64]

Absent = Literal["count", "skip"]
"""Whether a class that is predicted but occurs in no image has the IoU 0 or none. ZSSeg counts it;
detectron2 does not since July 2022 (evaluation/sem_seg_evaluation.py)."""


class Confusion:
    """Counts (c, c + 1) of pixels by true and predicted class; the last column is 'no class'."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.counts: NDArray[np.int64] = np.zeros((classes, classes + 1), np.int64)
        self.images: list[NDArray[np.int32]] = []
        """(3, c) of each image: pixels that are right, true and predicted, by class."""

    def add(self, truth: Labels, predicted: Labels) -> None:
        """Count one image; `IGNORED` in the prediction means no class and is a miss.

        UsageError for maps of different size and for labels beyond the classes.
        """
        if truth.shape != predicted.shape:
            raise UsageError(
                f"the prediction has {predicted.shape} pixels, the truth {truth.shape}"
            )
        scored = truth != IGNORED
        rows, columns = truth[scored].astype(np.int64), predicted[scored].astype(np.int64)
        columns[columns == IGNORED] = self.classes
        if rows.size and (rows.max() >= self.classes or columns.max() > self.classes):
            raise UsageError(f"a label map holds a label beyond its {self.classes} classes")
        width = self.classes + 1
        counted = np.bincount(rows * width + columns, minlength=self.classes * width)
        of_image = counted.reshape(self.counts.shape)
        self.counts += of_image
        parts = of_image.diagonal(), of_image.sum(1), of_image[:, : self.classes].sum(0)
        self.images.append(np.stack(parts).astype(np.int32))

    def scores(self, unseen: Sequence[int] = (), absent: Absent = "count") -> Iterator[Score]:
        """Percentages; hiou, seen and unseen only where there are unseen classes.

        IoU is averaged over the classes that occur in truth or prediction, or in the truth alone if
        absent ones do not count; accuracy over those in the truth. UsageError where no pixel was
        scored.
        """
        counts = self.counts.astype(np.float64)
        totals = np.stack(
            [counts.diagonal(), counts.sum(1), counts[:, : self.classes].sum(0)]
        )  # (3, c)
        if not totals[1].sum():
            raise UsageError("no pixel of these images has a label to score")
        new = np.zeros(self.classes, bool)
        new[list(unseen)] = True
        values = means(totals, new, absent)
        without = [means(totals - one, new, absent) for one in self.images]
        for name, value in values.items():
            kept = PerImage.left_out([other[name] for other in without]) if without[1:] else None
            yield Score(name, value, per_image=kept)
        right, true, predicted = totals
        iou = right / np.maximum(true + predicted - right, 1)
        yield Score("fwiou", 100 * float((true * iou).sum() / true.sum()))
        yield Score("pixel_accuracy", 100 * float(right.sum() / true.sum()))
        yield Score("mean_accuracy", _mean((right / np.maximum(true, 1))[true > 0]))


def means(totals: Counts, new: NDArray[np.bool_], absent: Absent) -> dict[str, float]:
    """miou, from pixels (3, c) that are right, true and predicted.

    Where classes are `new` (c,) also hiou, seen and unseen.
    """
    right, true, predicted = totals
    union = true + predicted - right
    iou = right / np.maximum(union, 1)
    occurs = (union if absent == "count" else true) > 0
    values: dict[str, float] = {}
    if new.any():
        parts = [_mean(iou[occurs & ~new]), _mean(iou[occurs & new])]
        values["hiou"] = 2 * parts[0] * parts[1] / sum(parts) if all(parts) else 0.0
        values["seen"], values["unseen"] = parts
    return values | {"miou": _mean(iou[occurs])}


def _mean(values: NDArray[np.float64]) -> float:
    return 100 * float(values.mean()) if values.size else 0.0
