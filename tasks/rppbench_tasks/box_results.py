"""Scores of another program's detections, from a file in COCO's results format.

The file is a list of {"image_id", "category_id", "bbox": [x, y, width, height], "score"}, with ids
as in the annotation file of the data set; "segmentation" (RLE), beside or instead of "bbox", is
scored too.
Numbers are held in arrays, so six million boxes take several hundred megabytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rppbench.contracts import Detections, DetectionSet, ReportProgress, Sample, Score
from rppbench.errors import UsageError
from rppbench.evaluation.average_precision import AveragePrecision
from rppbench.files import rle
from rppbench.files.coco_json import box, entries, integer_of, number_of
from rppbench_tasks.box_checks import check_boxes, check_scores, shapes_of


def scores(
    data: DetectionSet,
    path: Path,
    report_progress: ReportProgress,
    warn: Callable[[str], None],
) -> Iterator[Score]:
    """Average precision of the boxes, then of the masks if file and data set have them."""
    samples = data.samples("test")
    results = BoxResults(data, path, warn)
    boxes, masks = AveragePrecision(data), AveragePrecision(data, masks=True)
    with_masks, empty = bool(results.masks), 0
    for done, (sample, detections) in enumerate(results.detections(), 1):
        boxes.add(sample, detections)
        masks.add(sample, detections)
        instances = data.instances(sample)
        with_masks &= all(i.mask is not None or i.segmentation is not None for i in instances)
        empty += not len(detections)
        report_progress(done, len(samples))
    if empty:
        warn(
            f"{empty} of {len(samples)} images have no entry in the file; "
            "they count as images without detections"
        )
    yield from boxes.scores()
    if with_masks:
        yield from masks.scores()


class BoxResults:
    """The detections of a file, by image. UsageError names the first invalid entry.

    `warn` gets a line for what is valid but looks wrong (`box_checks`).
    """

    def __init__(self, data: DetectionSet, path: Path, warn: Callable[[str], None]) -> None:
        self.data, self.samples = data, data.samples("test")
        self.masks: list[dict[str, Any]] = []
        """One for each box in the order of the file, or [] where there are only boxes."""
        ids = data.image_ids("test")
        at_of = {number: at for at, number in enumerate(ids)}
        label_of = {number: label for label, number in enumerate(data.category_ids())}
        owners, labels, numbers = array("q"), array("q"), array("d")
        for count, (_, entry) in enumerate(entries(path), 1):
            where = f"{path}, entry {count}"
            image, category = (
                integer_of(entry, "image_id", where),
                integer_of(entry, "category_id", where),
            )
            if image not in at_of:
                raise UsageError(f"{where}: no image of {data.name!r} has the id {image}")
            if category not in label_of:
                raise UsageError(
                    f"{where}: no class of {data.name!r} has the id {category}; ids are those of "
                    f"its annotation file, from {min(label_of)} to {max(label_of)}"
                )
            mask = self._mask(entry, self.samples[at_of[image]], where)
            if bool(self.masks) != (mask is not None) and count > 1:
                raise UsageError(f"{where}: some entries have a 'segmentation', others have none")
            self.masks += [mask] if mask is not None else []
            owners.append(at_of[image])
            labels.append(label_of[category])
            bbox = (
                _box_around(mask) if mask is not None and "bbox" not in entry else box(entry, where)
            )
            numbers.extend((*bbox, number_of(entry, "score", where)))
        if not owners:
            raise UsageError(f"{path} holds no predictions")
        self._owners, self._labels = np.asarray(owners), np.asarray(labels)
        self._numbers = np.frombuffer(numbers, float).reshape(-1, 5)
        check_boxes(self._numbers[:, :4], shapes_of(data, self._owners), str(path), warn)
        check_scores(self._numbers[:, 4], warn)
        self._order = np.argsort(self._owners, kind="stable")
        self._check_repeated(path)

    def detections(self) -> Iterator[tuple[Sample, Detections]]:
        """Every test image with its detections in the order of the file; may be empty."""
        starts = np.searchsorted(self._owners[self._order], np.arange(len(self.samples) + 1))
        for at, sample in enumerate(self.samples):
            rows = self._order[starts[at] : starts[at + 1]]
            values = self._numbers[rows].astype(np.float32)
            masks = [self.masks[row] for row in rows] if self.masks else []
            yield sample, Detections(values[:, :4], values[:, 4], self._labels[rows], masks)

    def _mask(self, entry: Any, sample: Sample, where: str) -> dict[str, Any] | None:
        """The mask of an entry, valid and of the image's size; None if the entry has none."""
        if entry.get("segmentation") is None:
            return None
        try:
            return rle.checked(entry["segmentation"], self.data.shape(sample))
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error

    def _check_repeated(self, path: Path) -> None:
        """UsageError if a detection occurs twice, as when images were evaluated twice."""
        rows = (*self._numbers.T, self._labels, self._owners)
        order = np.lexsort(rows)
        same = np.logical_and.reduce([row[order][1:] == row[order][:-1] for row in rows])
        if same.any():
            first, second = sorted(order[int(same.argmax()) :][:2].tolist())
            raise UsageError(
                f"{path}: entries {first + 1} and {second + 1} are the same detection, and "
                f"{int(same.sum())} detections are repeated in total; were images evaluated twice?"
            )


def _box_around(mask: dict[str, Any]) -> tuple[float, float, float, float]:
    """The box of a mask; all zeros for an empty one."""
    pixels = rle.decode(mask)
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    left, top = float(columns[0]), float(rows[0])
    return left, top, float(columns[-1]) + 1 - left, float(rows[-1]) + 1 - top
