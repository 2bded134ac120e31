"""Average precision of detections by the protocol of COCO or of LVIS, with faster-coco-eval.

Lin et al., Microsoft COCO, ECCV 2014; Gupta et al., LVIS, CVPR 2019. The library does the matching.
It keeps a list for every pair of image and class: 24 million lists for LVIS. Classes do not depend
on each other, so they are scored in groups, and only one group's lists are in memory.

Shapes: t thresholds of overlap, r recalls, c classes, a areas; n boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rppbench.contracts.dataset import Sample
from rppbench.contracts.regions import Detections, DetectionSet, Instance
from rppbench.records.record import Score

PAIRS = 200_000
"""Maximum pairs of image and class that are held at once."""

COCO_LIMIT = 100
"""Detections that count for each image and class: those with the highest scores."""
LVIS_LIMIT = 300
"""Detections that count for each image, over all classes."""

AREAS = ("", "s", "m", "l")
"""All sizes; then small, medium and large, divided at areas of 32² and 96² pixels."""

FREQUENCIES = {"r": "AP_rare", "c": "AP_common", "f": "AP_frequent"}


class AveragePrecision:
    """Collects detections image by image, and scores them at the end."""

    def __init__(self, data: DetectionSet, masks: bool = False) -> None:
        """`masks` compares masks instead of boxes; every instance and detection must have one."""
        self.data, self.masks = data, masks
        self.federated = bool(data.frequencies())
        self.images: list[Sample] = []
        self._instances: list[Sequence[Instance]] = []
        self._rows: list[NDArray[np.int64]] = []
        self._boxes: list[NDArray[np.float32]] = []
        self._scores: list[NDArray[np.float32]] = []
        self._masks: list[Any] = []

    def add(self, sample: Sample, detections: Detections) -> None:
        """Add the detections of an image, possibly none; call it once for each image."""
        if self.federated:
            detections = _best(detections, LVIS_LIMIT)
        self._rows.append(
            np.stack([np.full(len(detections), len(self.images)), detections.labels], 1).astype(
                np.int64
            )
        )
        self._boxes.append(detections.boxes.reshape(-1, 4))
        self._scores.append(detections.scores)
        self._masks += detections.masks if self.masks else ()
        self.images.append(sample)
        self._instances.append(self.data.instances(sample))

    def scores(self) -> list[Score]:
        """AP, AP50, AP75, APs, APm, APl in percent; then AP50 of seen and unseen classes, or AP of
        rare, common and frequent ones.

        A score is left out if no image has an instance of any of its classes. With masks all names
        start with 'mask_'.
        """
        precision = self._precision()  # (t, r, c, a)
        values = {f"AP{name}": _mean(precision[..., at]) for at, name in enumerate(AREAS)}
        values["AP50"], values["AP75"] = _mean(precision[0, ..., 0]), _mean(precision[5, ..., 0])
        unseen = set(self.data.unseen())
        if unseen and not self.federated:
            inside = np.array([label in unseen for label in range(precision.shape[2])])
            values["AP50_seen"] = _mean(precision[0, :, ~inside, 0])
            values["AP50_unseen"] = _mean(precision[0, :, inside, 0])
        for letter, name in FREQUENCIES.items() if self.federated else ():
            of_group = np.array([group == letter for group in self.data.frequencies()])
            values[name] = _mean(precision[:, :, of_group, 0])
        first = {name: values.pop(name) for name in ("AP50", "AP", "AP75")}
        prefix = "mask_" if self.masks else ""
        return [
            Score(prefix + name, 100 * value)
            for name, value in {**first, **values}.items()
            if value is not None
        ]

    def _precision(self) -> NDArray[np.float64]:
        """Precision (t, r, c, a); -1 for classes without an instance."""
        classes = len(self.data.classes)
        empty: list[Any] = [np.zeros((0, 2), np.int64)]
        rows = np.concatenate(self._rows or empty)
        boxes = np.concatenate(self._boxes or [np.zeros((0, 4), np.float32)])
        scores = np.concatenate(self._scores or [np.zeros(0, np.float32)])
        order = np.argsort(rows[:, 1], kind="stable")
        size = max(1, PAIRS // max(1, len(self.images)))
        by_label: list[list[tuple[int, Instance]]] = [[] for _ in range(classes)]
        for image, instances in enumerate(self._instances):
            for instance in instances:
                by_label[instance.label].append((image, instance))
        parts = []
        for start in range(0, classes, size):
            labels = range(start, min(start + size, classes))
            low, high = np.searchsorted(rows[order, 1], [labels.start, labels.stop])
            at = np.sort(order[low:high])  # the order of arrival decides between equal scores
            detections = self._detections(at, rows, boxes, scores)
            truth = [pair for label in labels for pair in by_label[label]]
            parts.append(self._group(labels, list(self._truth(truth)), list(detections)))
        return np.concatenate(parts, 2)

    def _detections(
        self,
        at: NDArray[np.int64],
        rows: NDArray[np.int64],
        boxes: NDArray[np.float32],
        scores: NDArray[np.float32],
    ) -> Iterator[dict[str, Any]]:
        """Detections in COCO's form; ids start at 1, since the library takes 0 for 'none'."""
        for number, row in enumerate(at.tolist(), 1):
            image, label = rows[row].tolist()
            box = [float(edge) for edge in boxes[row]]
            entry = {
                "id": number,
                "image_id": image,
                "category_id": label,
                "bbox": box,
                "score": float(scores[row]),
                "iscrowd": 0,
                "area": box[2] * box[3],
            }
            if self.masks:
                from faster_coco_eval.core import mask

                entry["segmentation"] = self._masks[row]
                entry["area"] = float(mask.area(self._masks[row]))
            yield entry

    def _truth(self, pairs: Sequence[tuple[int, Instance]]) -> Iterator[dict[str, Any]]:
        for number, (image, instance) in enumerate(pairs, 1):
            entry: dict[str, Any] = {
                "id": number,
                "image_id": image,
                "category_id": instance.label,
                "bbox": [float(edge) for edge in instance.box],
                "iscrowd": int(instance.crowd),
                "area": area(instance),
            }
            if self.masks:
                entry["segmentation"] = segmentation(instance)
            yield entry

    def _group(
        self, labels: range, truth: list[dict[str, Any]], detections: list[dict[str, Any]]
    ) -> NDArray[np.float64]:
        """Precision (t, r, c, a) of some classes."""
        from faster_coco_eval import COCO, COCOeval_faster

        images = sorted({entry["image_id"] for entry in (*truth, *detections)})
        frequencies = self.data.frequencies()
        categories: list[dict[str, Any]] = [{"id": at, "name": str(at)} for at in labels]
        for category in categories if self.federated else ():
            category["frequency"] = frequencies[category["id"]]
        facts = {"images": [self._image(at) for at in images], "categories": categories}
        compared = COCOeval_faster(
            COCO({**facts, "annotations": truth}),
            COCO({**facts, "annotations": detections}),
            "segm" if self.masks else "bbox",
            print_function=lambda *words: None,
            lvis_style=self.federated,
        )
        compared.params.maxDets = [LVIS_LIMIT if self.federated else COCO_LIMIT]
        if not images:
            shape = (*map(len, (compared.params.iouThrs, compared.params.recThrs)), len(labels))
            return np.full((*shape, len(AREAS)), -1.0)
        compared.evaluate()
        compared.accumulate()
        precision: NDArray[np.float64] = np.asarray(compared.eval["precision"])
        return precision.reshape(*precision.shape[:4], -1)[..., -1]

    def _image(self, at: int) -> dict[str, Any]:
        sample = self.images[at]
        height, width = self.data.shape(sample)
        entry: dict[str, Any] = {"id": at, "height": height, "width": width}
        if self.federated:
            absent, incomplete = self.data.partial_annotation(sample)
            entry["neg_category_ids"] = list(absent)
            entry["not_exhaustive_category_ids"] = list(incomplete)
        return entry


def area(instance: Instance) -> float:
    """Area of an instance in pixels."""
    if instance.area is not None:
        return instance.area
    if instance.mask is not None:
        return float(instance.mask.sum())
    return instance.box[2] * instance.box[3]


def segmentation(instance: Instance) -> Any:
    """The mask in the form of COCO's files."""
    if instance.segmentation is not None or instance.mask is None:
        return instance.segmentation
    from faster_coco_eval.core import mask

    return mask.encode(np.asfortranarray(instance.mask.astype(np.uint8)))


def _best(detections: Detections, count: int) -> Detections:
    """The `count` detections with the highest scores, in their order."""
    if len(detections) <= count:
        return detections
    at = np.sort(np.argsort(-detections.scores, kind="stable")[:count])
    masks = [detections.masks[row] for row in at] if detections.masks else ()
    return Detections(detections.boxes[at], detections.scores[at], detections.labels[at], masks)


def _mean(precision: NDArray[np.float64]) -> float | None:
    """Mean over classes with an instance; None if there are no such classes."""
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else None
