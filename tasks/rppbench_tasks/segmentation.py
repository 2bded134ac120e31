"""Segmentation: learn once on the source, then name every pixel of scenes by their class names.

Ren et al., Prompt Pre-Training with Twenty-Thousand Classes for Open-Vocabulary Visual
Recognition, NeurIPS 2023, section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts import Assignment, Bench, Catalog, Method, Score, Task
from rppbench.dense import SegmentationSet
from rppbench.errors import UsageError

Head = Callable[[Image.Image, str, tuple[int, int]], NDArray[np.uint16]]


class Segmentation(Task):
    """One cell for each set of label maps; the training is the one of `cross-dataset`."""

    name = "segmentation"
    version = 2
    title = "Open-vocabulary segmentation"
    paper = "arXiv:2304.04704, arXiv:2112.14757, arXiv:2112.01071"
    metric = "hiou"

    def __init__(
        self,
        *,
        suite: str = "demo",
        source: str = "",
        shots: int = 0,
        head: Literal["dense", "proposals"] = "proposals",
        view: Literal["windows", "whole"] = "windows",
        proposals: Literal["regions", "files"] = "regions",
        path: str = "",
        weight: float = -1.0,
        short: int = 0,
        long: int = 2048,
    ) -> None:
        if weight > 1:
            raise UsageError(f"weight is from 0 to 1, or below 0 for the method alone: {weight:g}")
        if short < 0 or long < 1:
            raise UsageError("short and long are sides in pixels")
        self.suite, self.source, self.shots = suite, source, shots
        self.kind, self.view, self.proposals, self.path = head, view, proposals, path
        self.weight, self.short, self.long = weight, short, long

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        """The suite's sets of label maps; the source is the method's kind unless one is named."""
        source = self.source or catalog.source(self.suite, method.large_source)
        return [
            Assignment(target, source, "seen", self.shots or None)
            for target in catalog.names(self.suite, "segmentation")
        ]

    def run(self, bench: Bench) -> Iterable[Score]:
        """hiou, seen and unseen where there are unseen classes; miou, fwiou and accuracies."""
        from rppbench_tasks.segmenting.mean_iou import Confusion

        data = bench.dataset
        if not isinstance(data, SegmentationSet):
            raise UsageError(f"data set {data.name!r} has no label maps to score")
        bench.fit()
        head, samples = self.head(bench, data), bench.samples()
        confusion = Confusion(len(data.classes))
        for done, sample in enumerate(samples, 1):  # one image at a time is in memory
            truth = data.label_map(sample)
            height, width = truth.shape
            image = data.image(sample)
            if image.size != (width, height):
                raise UsageError(
                    f"the label map of {sample.key} is {height} x {width} pixels, its image "
                    f"{image.height} x {image.width}"
                )
            confusion.add(truth, head(self.scaled(image), sample.key, (height, width)))
            bench.progress(done, len(samples))
        return list(confusion.scores(data.unseen()))

    def head(self, bench: Bench, data: SegmentationSet) -> Head:
        """What labels the pixels of an image."""
        from rppbench_tasks.segmenting.dense import DenseHead
        from rppbench_tasks.segmenting.proposals import Files, Regions
        from rppbench_tasks.segmenting.two_stage import TwoStageHead

        if self.kind == "dense":
            return DenseHead(bench, self.view == "windows")
        masks = Files(self.path) if self.proposals == "files" else Regions()
        return TwoStageHead(bench, masks, self.weight, data.unseen())

    def scaled(self, image: Image.Image) -> Image.Image:
        """The image with its short side at `short` (0: as it is), no side above `long`."""
        ratio = min(
            self.short / min(image.size) if self.short else 1.0, self.long / max(image.size)
        )
        if ratio == 1:
            return image
        width, height = (max(1, round(side * ratio)) for side in image.size)
        return image.resize((width, height), Image.Resampling.BILINEAR)
