"""Where things may be, whatever they are: boxes with scores, from four sources.

    regions         parts of the image that stand out, by OpenCV; for drawn scenes, learns nothing
    file            a JSON file in COCO's results format (category ignored), of any detector
    transformers    the boxes of a detector of Hugging Face transformers, from a local folder
    true            the true boxes: what a classifier could reach if nothing were missed

Boxes are (n, 4) x, y, width, height in pixels, scores (n,) in 0..1, best first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.coco_json import box, entries, real, whole
from rppbench.contracts import Sample
from rppbench.dense import DetectionSet
from rppbench.errors import UsageError

Boxes = tuple[NDArray[np.float32], NDArray[np.float32]]

SIDE = 1024
"""Larger images are looked at in this size; their boxes are scaled back."""
LEVELS = (12.0, 20.0, 32.0, 48.0)
"""Differences from the background, of 255, above which a pixel stands out."""


class Proposer(ABC):
    """A source of boxes for one data set."""

    @abstractmethod
    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        """Boxes and scores of an image; none is an answer."""


class Regions(Proposer):
    """Connected parts that differ from what surrounds them, at several levels of difference."""

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        shrink = max(1.0, max(image.size) / SIDE)
        if min(image.size) < 8:
            return _none()
        small = (max(8, round(image.width / shrink)), max(8, round(image.height / shrink)))
        colours = np.asarray(image.resize(small) if shrink > 1 else image)
        lab = cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)
        around = min(255, (min(small) // 2) | 1)  # half of the image, an odd number
        ground = cv2.medianBlur(lab, around)
        apart = np.abs(lab.astype(np.float32) - ground).max(2)  # (h, w)
        edges = cv2.dilate(cv2.Canny(colours, 40, 120), np.ones((3, 3), np.uint8))
        least = 0.002 * lab.shape[0] * lab.shape[1]
        found: list[tuple[float, ...]] = []
        for mask in (*((apart > level).astype(np.uint8) for level in LEVELS), edges):
            closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
            opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
            for shape in (closed, opened):
                _, _, stats, _ = cv2.connectedComponentsWithStats(shape, connectivity=4)
                for x, y, width, height, pixels in stats[1:].tolist():
                    if pixels >= least and width * height < 0.95 * lab.shape[0] * lab.shape[1]:
                        inside = float(apart[y : y + height, x : x + width].mean())
                        found.append(
                            (x, y, width, height, inside / 255 * pixels / (width * height))
                        )
        if not found:
            return _none()
        rows = np.array(found, np.float32)
        boxes, scores = rows[:, :4] * np.float32(shrink), np.sqrt(rows[:, 4])
        return distinct(boxes, scores, 0.9)


class FromFile(Proposer):
    """Boxes of a results file, by the ids that COCO files give to images."""

    def __init__(self, data: DetectionSet, path: Path) -> None:
        self.path = path
        keys = dict(zip(data.image_ids("test"), (s.key for s in data.samples("test")), strict=True))
        rows, owners = array("d"), array("q")
        for _, entry in entries(path):
            where = str(path)
            owners.append(whole(entry, "image_id", where))
            if owners[-1] not in keys:
                raise UsageError(f"{where}: {data.name!r} has no image with the id {owners[-1]}")
            score = real(entry, "score", where)
            if not 0 <= score <= 1:
                raise UsageError(f"{where}: the score {score} is not between 0 and 1")
            rows.extend((*box(entry, where), score))
        values = np.frombuffer(rows, float).reshape(-1, 5).astype(np.float32)
        images = np.asarray(owners)
        order = np.lexsort((-values[:, 4], images)) if len(images) else np.zeros(0, np.int64)
        numbers, starts = np.unique(images[order], return_index=True)
        parts = np.split(values[order], starts[1:]) if len(numbers) else []
        self._rows: Mapping[str, NDArray[np.float32]] = {
            keys[number]: part for number, part in zip(numbers.tolist(), parts, strict=True)
        }

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        rows = self._rows.get(sample.key)
        return _none() if rows is None else (rows[:, :4], rows[:, 4])


class Transformers(Proposer):
    """Boxes of a DETR-like detector; its best class probability is the score of a box."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(
                f"proposals=transformers takes a local folder of a model, not {folder}"
            )
        self.folder = folder

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        try:
            from transformers import AutoImageProcessor, AutoModelForObjectDetection
        except ImportError as error:
            raise UsageError(
                "proposals=transformers needs the package transformers: pip install transformers"
            ) from error
        try:
            options: dict[str, Any] = {"local_files_only": True}
            processor = AutoImageProcessor.from_pretrained(self.folder, **options)
            model = AutoModelForObjectDetection.from_pretrained(
                self.folder, use_safetensors=True, **options
            )
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"cannot load a detector from {self.folder}: {error}") from error
        return processor, model.eval()

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        import torch

        processor, model = self._loaded
        with torch.inference_mode():
            found = model(**processor(images=image, return_tensors="pt"))
        logits = found.logits[0].float()
        # DETR's last class is 'nothing'; Deformable DETR and its kin have none, and a sigmoid.
        softmax = logits.shape[-1] == model.config.num_labels + 1
        shares = logits.softmax(-1)[:, :-1] if softmax else logits.sigmoid()
        centres = found.pred_boxes[0].float().numpy()  # (n, 4) cx, cy, w, h in 0..1
        boxes = np.concatenate([centres[:, :2] - centres[:, 2:] / 2, centres[:, 2:]], 1)
        boxes *= np.array([*image.size, *image.size], np.float32)
        return distinct(boxes.astype(np.float32), shares.max(-1).values.numpy(), 0.9)


class TrueBoxes(Proposer):
    """The boxes of the things themselves, all equally sure."""

    def __init__(self, data: DetectionSet) -> None:
        self.data = data

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        boxes = [thing.box for thing in self.data.things(sample) if not thing.crowd]
        rows = np.array(boxes, np.float32).reshape(-1, 4)
        return rows, np.ones(len(rows), np.float32)


def overlaps(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, n) intersection over union of boxes (n, 4)."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    shared = sides.clip(0).prod(2)
    areas = boxes[:, 2:].prod(1)
    both = areas[:, None] + areas[None] - shared
    return np.divide(shared, both, out=np.zeros_like(shared), where=both > 0)


def distinct(boxes: NDArray[np.float32], scores: NDArray[np.float32], limit: float) -> Boxes:
    """Boxes best first, without those that overlap a better one by more than `limit`."""
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    kept = suppress(overlaps(boxes), scores[:, None], limit)[:, 0]
    return boxes[kept], scores[kept]


def suppress(
    shared: NDArray[np.float32], scores: NDArray[np.float32], limit: float, least: float = -1.0
) -> NDArray[np.bool_]:
    """Non-maximum suppression of every class by itself: which of (n, c) scores are kept.

    `shared` (n, n) overlaps of the boxes. A box goes if a kept one with a higher score overlaps
    it by more than `limit`; of equal scores the first is the higher. Scores up to `least` go too.
    """
    order = np.argsort(-scores, axis=0, kind="stable")  # (n, c)
    rank = np.argsort(order, axis=0, kind="stable")
    alive = scores > least
    classes = np.arange(scores.shape[1])
    for place, box_of in enumerate(order):  # (c,) each class's next best box
        if not (active := alive[box_of, classes]).any():
            continue
        hidden = (shared[box_of] > limit) & active[:, None]  # (c, n)
        alive &= ~(hidden.T & (rank > place))
    return alive


def _none() -> Boxes:
    return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
