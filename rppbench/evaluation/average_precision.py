"""Average precision of detections by the protocol of COCO or of LVIS, with faster-coco-eval.

Lin et al., Microsoft COCO, ECCV 2014; Gupta et al., LVIS, CVPR 2019; for Fixed AP, Dave et al.,
Evaluating Large-Vocabulary Object Detectors: The Devil is in the Details, arXiv:2102.01066.

The library does the matching. It keeps a list for every pair of image and class: 24 million lists
for LVIS. Classes do not depend on each other, so they are scored in groups, and only one group's
lists are in memory.

Shapes: t thresholds of overlap, r recalls, c classes, a areas; n boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rppbench.contracts.dataset import Sample
from rppbench.contracts.regions import Detections, DetectionSet, Instance
from rppbench.evaluation import leave_one_out
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Score

PAIRS = 200_000
"""Maximum pairs of image and class that are held at once."""

COCO_LIMIT = 100
"""Detections that count for each image and class: those with the highest scores."""
LVIS_LIMIT = 300
"""Detections that count for each image, over all classes."""
FIXED_LIMIT = 10_000
"""Detections that count for each class in Fixed AP, over all images; an image has no limit."""

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
        test = data.samples("test")
        self._ids = {s.key: i for s, i in zip(test, data.image_ids("test"), strict=True)}
        self._instances: list[Sequence[Instance]] = []
        self._rows: list[NDArray[np.int64]] = []
        self._boxes: list[NDArray[np.float32]] = []
        self._scores: list[NDArray[np.float32]] = []
        self._masks: list[Any] = []
        self._annotated: list[NDArray[np.bool_]] = []
        """Which detections are of classes that their image was annotated for (LVIS)."""

    def add(self, sample: Sample, detections: Detections) -> None:
        """Add the detections of an image, possibly none; call it once for each image."""
        instances = self.data.instances(sample)
        self._rows.append(
            np.stack([np.full(len(detections), len(self.images)), detections.labels], 1).astype(
                np.int64
            )
        )
        self._boxes.append(detections.boxes.reshape(-1, 4))
        self._scores.append(detections.scores)
        self._masks += detections.masks if self.masks else ()
        if self.federated:
            annotated = {one.label for one in instances}
            annotated |= {*self.data.partial_annotation(sample).absent}
            self._annotated.append(np.isin(detections.labels, list(annotated)))
        self.images.append(sample)
        self._instances.append(instances)

    def scores(self) -> list[Score]:
        """AP, AP50, AP75, APs, APm, APl in percent; then AP50 of seen and unseen classes, or AP of
        rare, common and frequent ones and the same as Fixed AP.

        A score is left out if no image has an instance of any of its classes. With masks all names
        start with 'mask_'.
        """
        rows = np.concatenate([*self._rows, np.zeros((0, 2), np.int64)])
        scores = np.concatenate([*self._scores, np.zeros(0, np.float32)])
        if not self.federated:
            values = self._coco(self._precision(rows, scores, COCO_LIMIT))
        else:
            values = self._lvis(rows, scores)
        prefix = "mask_" if self.masks else ""
        few = len(self.images) > 1 and leave_one_out.work(rows) <= leave_one_out.WORK
        kept = self._influence() if few and not (self.federated or self.masks) else {}
        return [
            Score(prefix + name, 100 * value, per_image=kept.get(name))
            for name, value in values.items()
            if value is not None
        ]

    def _influence(self) -> dict[str, PerImage]:
        """How much AP and AP50 depend on each image."""
        collected = leave_one_out.LeaveOneOut(len(self.data.classes), COCO_LIMIT)
        parts = zip(self._rows, self._boxes, self._scores, self._instances, strict=True)
        images = [(boxes, scores, rows[:, 1], own) for rows, boxes, scores, own in parts]
        for at in sorted(range(len(images)), key=self._id):
            boxes, scores, labels, instances = images[at]
            collected.add(instances, Detections(boxes, scores, labels))
        without = collected.precision()
        order = np.argsort([self._id(at) for at in range(len(images))]).argsort()
        unseen = np.isin(np.arange(len(self.data.classes)), list(self.data.unseen()))
        every = np.ones_like(unseen)
        chosen = {"AP50": (1, every), "AP": (len(leave_one_out.THRESHOLDS), every)}
        if unseen.any():
            chosen |= {"AP50_seen": (1, ~unseen), "AP50_unseen": (1, unseen)}
        kept: dict[str, PerImage] = {}
        for name, (thresholds, classes) in chosen.items():
            values = without[order][:, :thresholds][:, :, classes]
            known = ~np.isnan(values)
            sums, counts = np.where(known, values, 0).sum((1, 2)), known.sum((1, 2))
            if counts.all():
                kept[name] = PerImage.left_out((100 * sums / counts).tolist())
        return kept

    def _coco(self, precision: NDArray[np.float64]) -> dict[str, float | None]:
        values = _summary(precision)
        if unseen := set(self.data.unseen()):
            inside = np.array([label in unseen for label in range(precision.shape[2])])
            values["AP50_seen"] = _mean(precision[0, :, ~inside, 0])
            values["AP50_unseen"] = _mean(precision[0, :, inside, 0])
        return values

    def _lvis(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> dict[str, Any]:
        # Limits come first: a class that an image was not annotated for takes its places too.
        annotated = np.concatenate([*self._annotated, np.zeros(0, bool)])
        usual = best(scores, rows[:, 0], LVIS_LIMIT) & annotated
        fixed = best(scores, rows[:, 1], FIXED_LIMIT) & annotated
        precision = self._precision(rows, scores, LVIS_LIMIT, usual)
        values = {**_summary(precision), **self._by_frequency(precision)}
        if (fixed != usual).any():
            precision = self._precision(rows, scores, FIXED_LIMIT, fixed)
        by_frequency = {"AP": _mean(precision[..., 0]), **self._by_frequency(precision)}
        return values | {f"fixed_{name}": value for name, value in by_frequency.items()}

    def _by_frequency(self, precision: NDArray[np.float64]) -> dict[str, float | None]:
        groups = np.array(self.data.frequencies())
        return {
            name: _mean(precision[:, :, groups == letter, 0])
            for letter, name in FREQUENCIES.items()
        }

    def _precision(
        self,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        limit: int,
        counted: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Precision (t, r, c, a) of all detections, or of those `counted`; -1 for classes without
        an instance. Of each image and class, the `limit` best detections count.
        """
        classes = len(self.data.classes)
        boxes = np.concatenate([*self._boxes, np.zeros((0, 4), np.float32)])
        chosen = np.arange(len(rows)) if counted is None else np.flatnonzero(counted)
        order = chosen[np.argsort(rows[chosen, 1], kind="stable")]
        size = max(1, PAIRS // max(1, len(self.images)))
        by_label: list[list[tuple[int, Instance]]] = [[] for _ in range(classes)]
        for image, instances in enumerate(self._instances):
            for instance in instances:
                by_label[instance.label].append((image, instance))
        parts = []
        for start in range(0, classes, size):
            labels = range(start, min(start + size, classes))
            low, high = np.searchsorted(rows[order, 1], [labels.start, labels.stop])
            at = np.sort(order[low:high])  # within an image, the first of equal scores counts first
            detections = self._detections(at, rows, boxes, scores)
            truth = [pair for label in labels for pair in by_label[label]]
            parts.append(self._group(labels, list(self._truth(truth)), list(detections), limit))
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
                "image_id": self._id(image),
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
                "image_id": self._id(image),
                "category_id": instance.label,
                "bbox": [float(edge) for edge in instance.box],
                "iscrowd": int(instance.crowd),
                "area": area(instance),
            }
            if self.masks:
                entry["segmentation"] = segmentation(instance)
            yield entry

    def _group(
        self,
        labels: range,
        truth: list[dict[str, Any]],
        detections: list[dict[str, Any]],
        limit: int,
    ) -> NDArray[np.float64]:
        """Precision (t, r, c, a) of some classes."""
        from faster_coco_eval import COCO, COCOeval_faster

        if self.federated:  # lvis-api leaves out what has no area, such as an empty mask
            truth, detections = (
                [entry for entry in entries if entry["area"] > 0] for entries in (truth, detections)
            )
        present = {entry["image_id"] for entry in (*truth, *detections)}
        images = [at for at in range(len(self.images)) if self._id(at) in present]
        frequencies = self.data.frequencies()
        categories: list[dict[str, Any]] = [{"id": at, "name": str(at)} for at in labels]
        for category in categories if self.federated else ():
            category["frequency"] = frequencies[category["id"]]
        facts = {"images": [self._image(at) for at in images], "categories": categories}
        if self.federated:  # what is not judged: the library fails on masks of an unjudged image
            judged = {(entry["image_id"], entry["category_id"]) for entry in truth}
            for image in facts["images"]:
                judged |= {(image["id"], label) for label in image["neg_category_ids"]}
            detections = [
                entry for entry in detections if (entry["image_id"], entry["category_id"]) in judged
            ]
        compared = COCOeval_faster(
            COCO({**facts, "annotations": truth}),
            COCO({**facts, "annotations": detections}),
            "segm" if self.masks else "bbox",
            print_function=lambda *words: None,
            lvis_style=self.federated,
        )
        compared.params.maxDets = [limit]
        if not images:
            shape = (*map(len, (compared.params.iouThrs, compared.params.recThrs)), len(labels))
            return np.full((*shape, len(AREAS)), -1.0)
        compared.evaluate()
        compared.accumulate()
        precision: NDArray[np.float64] = np.asarray(compared.eval["precision"])
        return precision.reshape(*precision.shape[:4], -1)[..., -1]

    def _id(self, image: int) -> int:
        """The id in COCO's files: among equal scores, those of the image of the lower id count
        first, in pycocotools and lvis-api."""
        return self._ids[self.images[image].key]

    def _image(self, at: int) -> dict[str, Any]:
        sample = self.images[at]
        height, width = self.data.shape(sample)
        entry: dict[str, Any] = {"id": self._id(at), "height": height, "width": width}
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


def best(scores: NDArray[np.float32], groups: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Which detections (n,) are among the `count` of the highest scores of their group.

    Of equal scores the first is the higher.
    """
    order = np.lexsort((-scores, groups))
    ordered = groups[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    chosen = np.zeros(len(order), bool)
    chosen[order[rank < count]] = True
    return chosen


def _summary(precision: NDArray[np.float64]) -> dict[str, float | None]:
    """AP50, AP, AP75 and AP by size, from precision (t, r, c, a)."""
    by_size = {f"AP{name}": _mean(precision[..., at]) for at, name in enumerate(AREAS)}
    return {
        "AP50": _mean(precision[0, ..., 0]),
        "AP": by_size.pop("AP"),
        "AP75": _mean(precision[5, ..., 0]),
        **by_size,
    }


def _mean(precision: NDArray[np.float64]) -> float | None:
    """Mean over classes with an instance; None if there are no such classes."""
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else None
