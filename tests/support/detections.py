"""A detection set with random boxes and random detections of them, for tests of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from rppbench.contracts.dataset import Sample
from rppbench.contracts.regions import (
    UNLABELLED,
    Detections,
    DetectionSet,
    Instance,
    PartialAnnotation,
)

CLASSES = ("apple", "bus", "cat", "dog", "egg", "fig")
SIDE = 200


class RandomDetectionSet(DetectionSet):
    """Black images with random boxes; no image has the last class."""

    name, title, suite, role = "made", "Made", "toy", "detection"

    def __init__(self, images: int = 20, seed: int = 0, federated: bool = False) -> None:
        draw = np.random.default_rng(seed)
        self.federated = federated
        self.groups: tuple[str, ...] = ("r", "c", "f", "f", "c", "r")
        self.boxes: list[list[Instance]] = []
        for _ in range(images):
            things = []
            for _ in range(draw.integers(0, 7)):
                x, y = draw.uniform(0, SIDE - 10, 2)
                w, h = draw.uniform(6, 130, 2)
                label, crowd = int(draw.integers(len(CLASSES) - 1)), bool(draw.random() < 0.1)
                mask = np.zeros((SIDE, SIDE), bool)
                mask[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1] = True
                things.append(Instance(label, (x, y, w, h), mask, crowd and not federated, w * h))
            self.boxes.append(things)

    @property
    def classes(self) -> Sequence[str]:
        return CLASSES

    def samples(self, split: str) -> Sequence[Sample]:
        return [Sample(str(number), UNLABELLED) for number in range(len(self.boxes))]

    def image(self, sample: Sample) -> Image.Image:
        return Image.new("RGB", (SIDE, SIDE))

    def fingerprint(self) -> str:
        return "made"

    def instances(self, sample: Sample) -> Sequence[Instance]:
        return self.boxes[int(sample.key)]

    def shape(self, sample: Sample) -> tuple[int, int]:
        return SIDE, SIDE

    def image_ids(self, split: str) -> Sequence[int]:
        return range(100, 100 + 3 * len(self.boxes), 3)

    def category_ids(self) -> Sequence[int]:
        return [1, 2, 5, 7, 9, 40]

    def unseen(self) -> Sequence[int]:
        return (2, 3)

    def frequencies(self) -> Sequence[str]:
        return self.groups if self.federated else ()

    def partial_annotation(self, sample: Sample) -> PartialAnnotation:
        present = {thing.label for thing in self.instances(sample)}
        absent = [label for label in range(len(CLASSES)) if label not in present and label % 2]
        return PartialAnnotation(absent, [label for label in present if label == 2])

    def detections(self, sample: Sample, seed: int = 1, extra: int = 8) -> Detections:
        """The things' boxes with noise, some with another class, and boxes around nothing."""
        draw = np.random.default_rng([seed, int(sample.key)])
        boxes, labels, scores = [], [], []
        for instance in self.instances(sample):
            for _ in range(draw.integers(0, 4)):
                boxes.append(np.array(instance.box) + draw.normal(0, 4, 4))
                right = draw.random() < 0.7
                labels.append(instance.label if right else int(draw.integers(len(CLASSES))))
                scores.append(draw.uniform(0.3, 1))
        for _ in range(draw.integers(0, extra + 1)):
            boxes.append(np.array([*draw.uniform(0, SIDE - 10, 2), *draw.uniform(6, 130, 2)]))
            labels.append(int(draw.integers(len(CLASSES))))
            scores.append(draw.uniform(0, 0.6))
        corners = np.maximum(np.array(boxes, np.float32).reshape(-1, 4), 1)
        return Detections(corners, np.array(scores, np.float32), np.array(labels, np.int64))
