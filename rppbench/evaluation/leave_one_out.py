"""Average precision with each image left out in turn: what an interval over images is made of.

Average precision is no mean over images. How much it depends on each of them is seen when one is
left out (the jackknife; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982). The
matching of boxes is one image's own, so it is done once; only the order of scores changes.

Shapes: n images, c classes, t thresholds of overlap; d detections and g true boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rppbench.contracts.regions import Detections, Instance

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
WORK = 50_000_000
"""Most scores to look at; with more, as on COCO's 5,000 images, no image is left out."""

Floats = NDArray[np.float64]


class LeaveOneOut:
    """Collects the matched detections of images, in the order that decides between equal scores."""

    def __init__(self, classes: int, limit: int) -> None:
        """`limit` is the largest number of detections that count for an image and class."""
        self.classes, self.limit, self.images = classes, limit, 0
        self._scores: list[list[NDArray[np.float32]]] = [[] for _ in range(classes)]
        self._hits: list[list[NDArray[np.int8]]] = [[] for _ in range(classes)]
        self._owners: list[list[int]] = [[] for _ in range(classes)]
        self._truth: list[dict[int, int]] = [{} for _ in range(classes)]

    def add(self, instances: Sequence[Instance], detections: Detections) -> None:
        """Match the detections of an image."""
        for label in {*detections.labels.tolist(), *(one.label for one in instances)}:
            of_class = np.flatnonzero(detections.labels == label)
            order = of_class[np.argsort(-detections.scores[of_class], kind="stable")][: self.limit]
            true = [one for one in instances if one.label == label]
            self._truth[label][self.images] = sum(not one.crowd for one in true)
            self._scores[label].append(detections.scores[order])
            self._hits[label].append(matched(detections.boxes[order], true))
            self._owners[label].append(self.images)
        self.images += 1

    def precision(self) -> Floats:
        """(n, t, c) AP without each image; NaN for a class without a true box."""
        without = np.empty((self.images, len(THRESHOLDS), self.classes))
        for label in range(self.classes):
            boxes = sum(self._truth[label].values())
            scores = np.concatenate([*self._scores[label], np.zeros(0, np.float32)])
            order = np.argsort(-scores, kind="stable")
            hits = np.concatenate([*self._hits[label], np.zeros((0, len(THRESHOLDS)), np.int8)])
            hits = hits[order]
            counts = [len(part) for part in self._scores[label]]
            owners = np.repeat(np.array(self._owners[label], np.int64), counts)[order]
            without[:, :, label] = average_precision(hits, boxes)
            for image, own in self._truth[label].items():
                without[image, :, label] = average_precision(hits[owners != image], boxes - own)
        return without


def work(rows: NDArray[np.int64]) -> int:
    """How many scores are looked at for detections with these (image, label) rows (d, 2)."""
    detections = np.bincount(rows[:, 1])
    images = np.bincount(np.unique(rows, axis=0)[:, 1], minlength=len(detections))
    return int((detections * images).sum())


def matched(boxes: NDArray[np.float32], instances: Sequence[Instance]) -> NDArray[np.int8]:
    """(d, t) 1 where a box is right, 0 where it is wrong, -1 where it counts as neither.

    Boxes (d, 4) come best first, and each takes the free true box that it overlaps most; one in a
    group of objects counts as neither (COCO's rules).
    """
    true = sorted(instances, key=lambda one: one.crowd)
    hits = np.zeros((len(boxes), len(THRESHOLDS)), np.int8)
    if not len(boxes) or not true:
        return hits
    crowd = np.array([one.crowd for one in true])
    shared = _overlaps(boxes.astype(np.float64), np.array([one.box for one in true], float), crowd)
    for at, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(true), bool)
        for row, overlap in enumerate(shared):
            reached = free & (overlap >= min(threshold, 1 - 1e-10))
            single = np.flatnonzero(reached & ~crowd)
            if len(single):
                # Of equal overlaps the last, as in pycocotools.
                best = single[len(single) - 1 - int(overlap[single][::-1].argmax())]
                free[best], hits[row, at] = False, 1
            elif (reached & crowd).any():
                hits[row, at] = -1
    return hits


def average_precision(hits: NDArray[np.int8], boxes: int) -> Floats:
    """(t,) the mean over recalls of the best precision at that recall or above; hits (d, t)."""
    if not boxes:
        return np.full(len(THRESHOLDS), np.nan)
    right = np.cumsum(hits == 1, axis=0, dtype=np.float64)
    wrong = np.cumsum(hits == 0, axis=0, dtype=np.float64)
    precision = right / (right + wrong + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    values = np.zeros(len(THRESHOLDS))
    for at in range(len(THRESHOLDS)):
        reached = np.searchsorted(right[:, at] / boxes, RECALLS, side="left")
        values[at] = best[reached[reached < len(best)], at].sum() / len(RECALLS)
    return values


def _overlaps(boxes: Floats, true: Floats, crowd: NDArray[np.bool_]) -> Floats:
    """(d, g) intersection over union; over the box alone for groups of objects."""
    low = np.maximum(boxes[:, None, :2], true[None, :, :2])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:])[:, None], (true[:, :2] + true[:, 2:])[None])
    shared = (high - low).clip(0).prod(2)
    own, others = boxes[:, 2:].prod(1)[:, None], true[:, 2:].prod(1)[None]
    whole = np.where(crowd[None], own, own + others - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
