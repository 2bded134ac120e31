"""Detection: prompts are learned once on the source; their class features classify boxes.

The classifier is that of Detic (Zhou et al., Detecting Twenty-thousand Classes using Image-level
Supervision, ECCV 2022), which POMP uses too (Ren et al., NeurIPS 2023, appendix B): cosine times a
temperature, a sigmoid for each class, the square root of its product with the proposal's score.
Region features here are those of CLIP's (prompted) image tower on crops.

Shapes: n proposals of an image, c classes, e embedding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rppbench.contracts import (
    Bench,
    Comparison,
    Dataset,
    Detections,
    DetectionSet,
    Range,
    RegionClassifier,
    ReportProgress,
    Sample,
    Score,
)
from rppbench.errors import UsageError
from rppbench.evaluation.average_precision import AveragePrecision
from rppbench_tasks import box_results
from rppbench_tasks.proposing.boxes import (
    CONTEXT,
    Boxes,
    BoxSource,
    TrueBoxes,
    overlaps,
    square_around,
    suppress,
)
from rppbench_tasks.proposing.files import BoxFile
from rppbench_tasks.proposing.models import Detector
from rppbench_tasks.proposing.regions import Regions
from rppbench_tasks.proposing.small import SmallProposer
from rppbench_tasks.proposing.task import ProposalTask, Start
from rppbench_tasks.shots import ShotsOfRecipe
from rppbench_tasks.suite import DEFAULT_SUITE


class Detection(ProposalTask):
    """One cell for each detection set; the training is that of `cross-dataset`."""

    name = "detection"
    version = 2
    title = "Open-vocabulary detection"
    question = (
        "Learn from images of classes. Are objects found in scenes, those of unseen classes too?"
    )
    paper = "arXiv:2201.02605, arXiv:2304.04704"
    metric = "AP50"
    targets = "detection"
    later_options = ("score", "published", *ProposalTask.tuning_options)
    proposers: ClassVar[dict[str, Callable[[DetectionSet, str], BoxSource]]] = {
        "regions": lambda data, path: Regions(),
        "small": lambda data, path: SmallProposer(),
        "file": lambda data, path: BoxFile(data, Path(path).expanduser()),
        "transformers": lambda data, path: Detector(path),
        "true": lambda data, path: TrueBoxes(data),
    }
    """Sources of boxes by the value of `proposals=`, made from the data set and `path=`.

    A plugin may add its own.
    """
    need_path = ("file", "transformers")
    take_no_path = ("regions", "small", "true")

    def __init__(
        self,
        *,
        suite: str = DEFAULT_SUITE,
        source: str = "",
        shots: ShotsOfRecipe = 0,
        proposals: str = "regions",
        path: str = "",
        at_most: Annotated[int, Range(1, 100_000)] = 100,
        context: Annotated[float, Range(0, 100)] = CONTEXT,
        temperature: Annotated[float, Range(0)] = 50.0,
        overlap: Annotated[float, Range(0, 1)] = 0.5,
        threshold: Annotated[float, Range(0, 1)] = 0.02,
        detections: Annotated[int, Range(1, 100_000)] = 300,
        score: Literal["product", "class"] = "product",
        published: bool = False,
        tune: bool = False,
        start: Start = "pretrained",
        regions: str = "",
    ) -> None:
        """`path` is the file of the proposals or the folder of their model, `at_most` the largest
        number kept for an image, true boxes excepted; `context` widens a crop on each side by this
        share of the box. `score` is the class probability, or the root of its product with the
        proposal's. `published` takes at_most, threshold, detections and score from each data set's
        published settings.
        """
        chosen = (at_most, threshold, detections, score)
        if published and chosen != (100, 0.02, 300, "product"):
            raise UsageError(
                "published=on sets at_most, threshold, detections and score: leave these options "
                "out"
            )
        if tune and context != CONTEXT:
            raise UsageError(f"tune=on learns from crops with context={CONTEXT:g}")
        super().__init__(suite=suite, source=source, shots=shots)
        self._tune(tune, start, regions)
        self._propose(proposals, path)
        self.at_most = at_most
        self.context, self.temperature, self.overlap = context, temperature, overlap
        self.threshold, self.detections = threshold, detections
        self.score, self.published = score, published

    def crops(self) -> str:
        return "boxes"

    def run(self, bench: Bench) -> Iterable[Score]:
        """AP50; AP at other overlaps, by size and of seen and unseen classes.

        With true boxes as proposals also `true_boxes`, the top-1 accuracy on their crops.
        """
        data = with_boxes(bench.dataset)
        scorer, right, crops = AveragePrecision(data), 0, 0
        total = len(bench.regions.samples())
        for done, (sample, boxes, cosines) in enumerate(self.named(bench, data), 1):
            scorer.add(sample, self.classify(boxes, self.logits(cosines, bench.regions.classifier)))
            if self.proposals == "true":
                instances = [one for one in data.instances(sample) if not one.crowd]
                labels = [one.label for one in instances]
                right += int((cosines.argmax(1) == labels).sum()) if labels else 0
                crops += len(labels)
            bench.regions.report_progress(done, total)
        yield from scorer.scores()
        if crops:
            yield Score("true_boxes", 100 * right / crops, right, crops)

    def score_file(
        self,
        data: Dataset,
        predictions: Path,
        report_progress: ReportProgress,
        warn: Callable[[str], None],
    ) -> Iterable[Score]:
        return box_results.scores(with_boxes(data), predictions, report_progress, warn)

    def comparisons(self, bench: Bench) -> Iterator[Comparison]:
        data = with_boxes(bench.dataset)
        for sample, boxes, cosines in self.named(bench, data):
            instances = [one for one in data.instances(sample) if not one.crowd]
            truth = Detections(
                np.array([one.box for one in instances], np.float32).reshape(-1, 4),
                np.ones(len(instances), np.float32),
                np.array([one.label for one in instances], np.int64),
            )
            prediction = self.classify(boxes, self.logits(cosines, bench.regions.classifier))
            yield Comparison(sample.key, data.image(sample), truth, prediction)

    def named(
        self, bench: Bench, data: DetectionSet
    ) -> Iterator[tuple[Sample, Boxes, NDArray[np.float32]]]:
        """Learn the prompts, then yield each image with its proposals and their cosines (n, c)."""
        if self.published:
            if data.published_detector is None:
                raise UsageError(f"data set {data.name!r} has no published settings")
            self.at_most, self.threshold, self.detections, self.score = data.published_detector
        bench.fit()
        source = self.proposers[self.proposals](data, self.path)
        classifier = bench.regions.classifier
        for sample in bench.regions.samples():
            boxes = self._proposals(bench, data, sample, source)
            features = self._features(bench, sample, boxes[0])
            yield sample, boxes, classifier.similarities(features, list(data.classes)).numpy()

    def logits(self, cosines: np.ndarray, classifier: RegionClassifier) -> np.ndarray:
        """(n, c) what a sigmoid turns into the probability of each class by itself."""
        if classifier.bias is not None:  # trained as this sigmoid
            return classifier.scale * cosines.astype(np.float64) + classifier.bias
        # A detector's trained features make cosines of absent classes negative; those of CLIP are
        # all about 0.2, where a sigmoid at 50 is 1. What matters is the difference from their mean.
        return self.temperature * (cosines - cosines.mean(1, keepdims=True))

    def classify(self, boxes: Boxes, logits: np.ndarray) -> Detections:
        """The detections of an image, from its proposals (n, 4) and their logits (n, c)."""
        corners, objectness = boxes
        if not len(objectness):
            empty = np.zeros(0, np.float32)
            return Detections(corners, empty, empty.astype(np.int64))
        inverse = 1 + np.exp(-logits)  # (n, c), of the probabilities
        shares = np.sqrt(objectness[:, None] / inverse) if self.score == "product" else 1 / inverse
        scores = shares.astype(np.float32)
        kept = suppress(overlaps(corners), scores, self.overlap, self.threshold)
        rows, labels = kept.nonzero()
        best = np.argsort(-scores[rows, labels], kind="stable")[: self.detections]
        rows, labels = rows[best], labels[best]
        return Detections(corners[rows], scores[rows, labels], labels)

    def _proposals(
        self, bench: Bench, data: DetectionSet, sample: Sample, source: BoxSource
    ) -> Boxes:
        """The best proposals of an image, clipped to it; computed once for all methods."""

        def compute() -> dict[str, NDArray[np.float32]]:
            boxes, scores = source.find(sample, bench.dataset.image(sample))
            return {"boxes": boxes, "sure": scores}  # names in files of the cache

        identity = source.identity()
        key = {"boxes": identity, "sample": sample.key, "version": 1}
        arrays = bench.regions.cache.arrays(key, compute) if identity else compute()
        height, width = data.shape(sample)
        # The upper bound that true boxes stand for has none of them missing.
        at_most = None if self.proposals == "true" else self.at_most
        return inside(arrays["boxes"], arrays["sure"], (width, height), at_most)

    def _features(self, bench: Bench, sample: Sample, boxes: NDArray[np.float32]) -> Tensor:
        """Features (n, e) of the crops of an image's boxes (n, 4)."""

        def crops() -> Tensor:
            image = bench.dataset.image(sample)
            return bench.regions.encoder.encode(
                square_around(image, box, self.context) for box in boxes
            )

        digest = hashlib.sha256(boxes.tobytes()).hexdigest()
        key = {"crops": digest, "sample": sample.key, "context": self.context, "version": 1}
        return bench.regions.cache.features(key, len(boxes), crops)


def with_boxes(data: Dataset) -> DetectionSet:
    """The data set as one with boxes. UsageError if it has none."""
    if not isinstance(data, DetectionSet):
        raise UsageError(f"data set {data.name!r} has no boxes to find")
    return data


def inside(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    size: tuple[int, int],
    at_most: int | None,
) -> Boxes:
    """The first `at_most` boxes (None: all), clipped to an image of `size` (w, h).

    Boxes outside the image are dropped.
    """
    boxes, scores = boxes[:at_most], scores[:at_most]
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], np.array(size, np.float32))
    low = np.maximum(boxes[:, :2], 0)
    cut = np.concatenate([low, high - low], 1)
    kept = (cut[:, 2:] > 0).all(1)
    return cut[kept], scores[kept]
