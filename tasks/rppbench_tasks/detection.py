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
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rppbench.contracts import Bench, Compared, Dataset, Detections, DetectionSet, Sample, Score
from rppbench.errors import UsageError, unknown
from rppbench.evaluation.average_precision import AveragePrecision
from rppbench_tasks import box_results
from rppbench_tasks.proposing.boxes import Boxes, Finder, TrueBoxes, overlaps, suppress
from rppbench_tasks.proposing.files import BoxFile
from rppbench_tasks.proposing.models import Detector
from rppbench_tasks.proposing.regions import Regions
from rppbench_tasks.proposing.task import ProposalTask


class Detection(ProposalTask):
    """One cell for each detection set; the training is the one of `cross-dataset`."""

    name = "detection"
    version = 2
    title = "Open-vocabulary detection"
    paper = "arXiv:2201.02605, arXiv:2304.04704"
    metric = "AP50"
    targets = "detection"
    proposers: ClassVar[dict[str, Callable[[DetectionSet, str], Finder]]] = {
        "regions": lambda data, path: Regions(),
        "file": lambda data, path: BoxFile(data, Path(path).expanduser()),
        "transformers": lambda data, path: Detector(path),
        "true": lambda data, path: TrueBoxes(data),
    }
    """What `proposals=` chooses from, made of the data and `path=`; a plugin may add its own."""

    def __init__(
        self,
        *,
        suite: str = "demo",
        source: str = "",
        shots: int = 0,
        proposals: str = "regions",
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
        if proposals not in self.proposers:
            raise unknown("source of proposals is named", proposals, self.proposers, "sources")
        self.proposals, self.path, self.at_most = proposals, path, at_most
        self.context, self.temperature, self.overlap = context, temperature, overlap
        self.threshold, self.detections = threshold, detections
        if proposals in ("file", "transformers") and not path:
            raise UsageError(f"proposals={proposals} takes path=...")
        if proposals in ("regions", "true") and path:
            raise UsageError(f"proposals={proposals} takes no path")

    def run(self, bench: Bench) -> Iterable[Score]:
        """AP50 with AP at other overlaps, for sizes and for seen and unseen classes.

        With true boxes as proposals also `true_boxes`, the top-1 accuracy of their crops.
        """
        data = with_boxes(bench.dataset)
        scorer, right = AveragePrecision(data), [0, 0]
        total = len(bench.samples())
        for done, (sample, boxes, cosines) in enumerate(self.named(bench, data), 1):
            scorer.add(sample, self.classify(boxes, cosines))
            if self.proposals == "true":
                labels = [t.label for t in data.things(sample) if not t.crowd][: self.at_most]
                right[0] += int((cosines.argmax(1) == labels).sum()) if labels else 0
                right[1] += len(labels)
            bench.progress(done, total)
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
        return box_results.scores(with_boxes(data), predictions, progress, tell)

    def compared(self, bench: Bench) -> Iterator[Compared]:
        data = with_boxes(bench.dataset)
        for sample, boxes, cosines in self.named(bench, data):
            things = [thing for thing in data.things(sample) if not thing.crowd]
            truth = Detections(
                np.array([thing.box for thing in things], np.float32).reshape(-1, 4),
                np.ones(len(things), np.float32),
                np.array([thing.label for thing in things], np.int64),
            )
            found = self.classify(boxes, cosines)
            yield Compared(sample.key, data.image(sample), truth, found)

    def named(
        self, bench: Bench, data: DetectionSet
    ) -> Iterator[tuple[Sample, Boxes, NDArray[np.float32]]]:
        """Learn, then of one image after the other its proposals and their cosines (n, c)."""
        bench.fit()
        finder = self.proposers[self.proposals](data, self.path)
        for sample in bench.samples():
            boxes = self._found(bench, data, sample, finder)
            features = self._features(bench, sample, boxes[0])
            yield sample, boxes, bench.similarities(features, list(data.classes)).numpy()

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

    def _found(self, bench: Bench, data: DetectionSet, sample: Sample, finder: Finder) -> Boxes:
        """The best proposals of an image, inside of it; asked for once for all methods."""

        def asked() -> dict[str, NDArray[np.float32]]:
            boxes, sure = finder.find(sample, bench.dataset.image(sample))
            return {"boxes": boxes, "sure": sure}

        who = finder.identity()
        key = {"boxes": who, "sample": sample.key, "version": 1}
        found = bench.kept(key, asked) if who else asked()
        height, width = data.shape(sample)
        return inside(found["boxes"], found["sure"], (width, height), self.at_most)

    def _features(self, bench: Bench, sample: Sample, boxes: NDArray[np.float32]) -> Tensor:
        """(n, e) of the crops of an image's boxes (n, 4)."""

        def crops() -> Tensor:
            image = bench.dataset.image(sample)
            return bench.encode(crop(image, box, self.context) for box in boxes)

        shown = hashlib.sha256(boxes.tobytes()).hexdigest()
        key = {"crops": shown, "sample": sample.key, "context": self.context, "version": 1}
        return bench.remembered(key, len(boxes), crops)


def with_boxes(data: Dataset) -> DetectionSet:
    """The data set, if it has what this task scores. UsageError if not."""
    if not isinstance(data, DetectionSet):
        raise UsageError(f"data set {data.name!r} has no boxes to find")
    return data


def inside(
    boxes: NDArray[np.float32], sure: NDArray[np.float32], size: tuple[int, int], at_most: int
) -> Boxes:
    """The first boxes, cut to an image of (width, height); those outside of it are left out."""
    boxes, sure = boxes[:at_most], sure[:at_most]
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
