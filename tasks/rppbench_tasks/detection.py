"""Detection: learn prompts once on the source; their class features classify boxes.

The classifier of Detic (Zhou et al., Detecting Twenty-thousand Classes using Image-level
Supervision, ECCV 2022) and of POMP on it (Ren et al., NeurIPS 2023, appendix B): cosine times a
temperature, a sigmoid for each class, the square root of its product with the proposal's score.
Here the region features are those of CLIP's (prompted) image tower on crops.

Shapes: n proposals of an image, c classes, e embedding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rppbench.average_precision import AveragePrecision
from rppbench.contracts import Bench, Dataset, Sample, Score
from rppbench.dense import Compared, Detections, DetectionSet
from rppbench.errors import UsageError
from rppbench_tasks import box_results
from rppbench_tasks.cross_dataset import CrossDataset
from rppbench_tasks.proposals import (
    Boxes,
    FromFile,
    Proposer,
    Regions,
    Transformers,
    TrueBoxes,
    overlaps,
    suppress,
)

TOGETHER = 16
"""Images whose crops are held, encoded and stored together."""


class Detection(CrossDataset):
    """One cell for each detection set; the training is the one of `cross-dataset`."""

    name = "detection"
    title = "Open-vocabulary detection"
    paper = "arXiv:2201.02605, arXiv:2304.04704"
    metric = "AP50"
    targets = "detection"

    def __init__(
        self,
        *,
        suite: str = "demo",
        source: str = "",
        shots: int = 0,
        proposals: Literal["regions", "file", "transformers", "true"] = "regions",
        path: str = "",
        at_most: int = 100,
        context: float = 0.1,
        temperature: float = 50.0,
        overlap: float = 0.5,
        threshold: float = 0.02,
        detections: int = 300,
    ) -> None:
        """`path` is the file or the model's folder that proposals come from, `at_most` how many an
        image keeps; `context` widens a crop on each side by a share of the box.
        """
        super().__init__(suite=suite, source=source, shots=shots)
        self.proposals, self.path, self.at_most = proposals, path, at_most
        self.context, self.temperature, self.overlap = context, temperature, overlap
        self.threshold, self.detections = threshold, detections
        if (proposals in ("file", "transformers")) != bool(path):
            raise UsageError("proposals=file and proposals=transformers take path=..., others none")

    def run(self, bench: Bench) -> Iterable[Score]:
        """AP50 with AP at other overlaps, for sizes and for seen and unseen classes.

        With true boxes as proposals also `true_boxes`, the top-1 accuracy of their crops.
        """
        data = bench.dataset
        if not isinstance(data, DetectionSet):
            raise UsageError(f"data set {data.name!r} has no boxes to find")
        bench.fit()
        proposer = self._proposer(data)
        scorer, right, done = AveragePrecision(data), [0, 0], 0
        samples = bench.samples()
        for start in range(0, len(samples), TOGETHER):
            block = samples[start : start + TOGETHER]
            for sample, boxes, features in self._features(bench, block, proposer):
                cosines = bench.similarities(features, list(data.classes)).numpy()  # (n, c)
                scorer.add(sample, self.classify(boxes, cosines))
                if self.proposals == "true":
                    labels = [t.label for t in data.things(sample) if not t.crowd][: self.at_most]
                    right[0] += int((cosines.argmax(1) == labels).sum()) if labels else 0
                    right[1] += len(labels)
            done += len(block)
            bench.progress(done, len(samples))
        yield from scorer.scores()
        if right[1]:
            yield Score("true_boxes", 100 * right[0] / right[1], right[0], right[1])

    def score_file(
        self,
        data: Dataset,
        predictions: Path,
        progress: Callable[[int, int], None],
        tell: Callable[[str], None],
    ) -> Iterable[Score]:
        if not isinstance(data, DetectionSet):
            raise UsageError(f"data set {data.name!r} has no boxes to find")
        return box_results.scores(data, predictions, progress, tell)

    def compared(self, bench: Bench) -> Iterator[Compared]:
        data = bench.dataset
        if not isinstance(data, DetectionSet):
            raise UsageError(f"data set {data.name!r} has no boxes to find")
        bench.fit()
        for sample, boxes, features in self._features(bench, bench.samples(), self._proposer(data)):
            things = [thing for thing in data.things(sample) if not thing.crowd]
            truth = Detections(
                np.array([thing.box for thing in things], np.float32).reshape(-1, 4),
                np.ones(len(things), np.float32),
                np.array([thing.label for thing in things], np.int64),
            )
            found = self.classify(boxes, bench.similarities(features, list(data.classes)).numpy())
            yield Compared(sample.key, data.image(sample), truth, found)

    def classify(self, boxes: Boxes, cosines: np.ndarray) -> Detections:
        """What is found in an image, of proposals (n, 4) with their cosines (n, c)."""
        corners, sure = boxes
        if not len(sure):
            empty = np.zeros(0, np.float32)
            return Detections(corners, empty, empty.astype(np.int64))
        # A detector's trained features make cosines of absent classes negative; those of CLIP are
        # all about 0.2, where a sigmoid at 50 is 1. What matters is the difference to their mean.
        logits = self.temperature * (cosines - cosines.mean(1, keepdims=True))
        scores = np.sqrt(sure[:, None] / (1 + np.exp(-logits))).astype(np.float32)  # (n, c)
        kept = suppress(overlaps(corners), scores, self.overlap, self.threshold)
        rows, labels = kept.nonzero()
        best = np.argsort(-scores[rows, labels], kind="stable")[: self.detections]
        rows, labels = rows[best], labels[best]
        return Detections(corners[rows], scores[rows, labels], labels)

    def _proposer(self, data: DetectionSet) -> Proposer:
        if self.proposals == "file":
            return FromFile(data, Path(self.path))
        if self.proposals == "transformers":
            return Transformers(Path(self.path))
        return TrueBoxes(data) if self.proposals == "true" else Regions()

    def _features(
        self, bench: Bench, block: Sequence[Sample], proposer: Proposer
    ) -> Iterator[tuple[Sample, Boxes, Tensor]]:
        """Proposals of some images with the features (n, e) of their crops."""
        images = [bench.dataset.image(sample) for sample in block]
        found: list[Boxes] = []
        for sample, image in zip(block, images, strict=True):
            boxes, sure = proposer.find(sample, image)
            found.append(inside(boxes[: self.at_most], sure[: self.at_most], image.size))
        counts = [len(sure) for _, sure in found]

        def crops() -> Tensor:
            parts = [
                crop(image, box, self.context)
                for image, (boxes, _) in zip(images, found, strict=True)
                for box in boxes
            ]
            return bench.encode(parts)

        shown = hashlib.sha256(b"".join(boxes.tobytes() for boxes, _ in found)).hexdigest()
        keys = " ".join(sample.key for sample in block)
        key = {"crops": shown, "images": keys, "context": self.context, "counts": counts}
        features = bench.remembered(key, sum(counts), crops)
        parts = torch.split(features, counts)
        yield from zip(block, found, parts, strict=True)


def inside(
    boxes: np.ndarray, sure: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The boxes cut to an image of (width, height), without those of which nothing is left."""
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], np.array(size, np.float32))
    low = np.maximum(boxes[:, :2], 0)
    cut = np.concatenate([low, high - low], 1)
    left = (cut[:, 2:] > 0).all(1)
    return cut[left], sure[left]


def crop(image: Image.Image, box: Sequence[float], context: float) -> Image.Image:
    """The part of the image in a box widened by `context` of its sides, as a square if it fits."""
    x, y, width, height = (float(edge) for edge in box)
    side = max(width, height) * (1 + 2 * context)
    centre_x, centre_y = x + width / 2, y + height / 2
    left, top = max(0, round(centre_x - side / 2)), max(0, round(centre_y - side / 2))
    right = min(image.width, max(left + 1, round(centre_x + side / 2)))
    bottom = min(image.height, max(top + 1, round(centre_y + side / 2)))
    return image.crop((min(left, right - 1), min(top, bottom - 1), right, bottom))
