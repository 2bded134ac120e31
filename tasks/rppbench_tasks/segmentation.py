"""Segmentation: prompts are learned once on the source and classify every pixel of scenes.

Ren et al., Prompt Pre-Training with Twenty-Thousand Classes for Open-Vocabulary Visual
Recognition, NeurIPS 2023, section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts import (
    Bench,
    Comparison,
    Dataset,
    Range,
    ReportProgress,
    Sample,
    Score,
    SegmentationSet,
)
from rppbench.errors import UsageError, unknown
from rppbench_tasks.proposing.files import MaskFiles
from rppbench_tasks.proposing.masks import MaskSource
from rppbench_tasks.proposing.models import Segmenter
from rppbench_tasks.proposing.regions import Regions
from rppbench_tasks.proposing.task import ProposalTask, Start
from rppbench_tasks.segmenting import map_results
from rppbench_tasks.segmenting.dense import DenseHead, Enlarge
from rppbench_tasks.segmenting.mean_iou import Absent, Confusion
from rppbench_tasks.segmenting.two_stage import Geometry, Settings, TwoStageHead, Votes
from rppbench_tasks.segmenting.words import Wording, words_of
from rppbench_tasks.shots import ShotsOfRecipe
from rppbench_tasks.suite import DEFAULT_SUITE

Head = Callable[[Image.Image, str, tuple[int, int]], NDArray[np.uint16]]
"""(image, its key, (h, w)) -> (h, w) labels of the image's pixels, `IGNORED` for none."""


class Segmentation(ProposalTask):
    """One cell for each set of label maps; the training is that of `cross-dataset`."""

    name = "segmentation"
    version = 3
    title = "Open-vocabulary segmentation"
    question = (
        "Learn from images of classes. Is every pixel of a scene named, also those of "
        "unseen classes?"
    )
    paper = "arXiv:2304.04704, arXiv:2112.14757, arXiv:2112.01071"
    metric = "hiou"
    targets = "segmentation"
    later_options = (
        "geometry",
        "votes",
        "threshold",
        "enlarge",
        "names",
        "absent",
        *ProposalTask.tuning_options,
    )
    file_options = ("absent",)
    heads: ClassVar[dict[str, Callable[[Segmentation, Bench, SegmentationSet], Head]]] = {
        "proposals": lambda task, bench, data: task.two_stages(bench, data),
        "dense": lambda task, bench, data: task.dense(bench, data),
    }
    """Heads by the value of `head=`; a plugin may add its own."""
    proposers: ClassVar[dict[str, Callable[[str], MaskSource]]] = {
        "regions": lambda path: Regions(),
        "files": MaskFiles,
        "transformers": Segmenter,
    }
    """Sources of masks by the value of `proposals=`, made from `path=`. A plugin may add others."""
    need_path = ("files", "transformers")
    take_no_path = ("regions",)

    def __init__(
        self,
        *,
        suite: str = DEFAULT_SUITE,
        source: str = "",
        shots: ShotsOfRecipe = 0,
        head: str = "proposals",
        view: Literal["windows", "whole"] = "windows",
        proposals: str = "regions",
        path: str = "",
        published: bool = False,
        weight: float = -1.0,
        short: Annotated[int, Range(0, 10_000)] = 0,
        long: Annotated[int, Range(1, 100_000)] = 2048,
        geometry: Geometry = "square",
        votes: Votes = "hard",
        threshold: Annotated[float, Range(0, 1)] = 0.5,
        enlarge: Enlarge = "probabilities",
        names: Wording = "own",
        absent: Absent = "count",
        tune: bool = False,
        start: Start = "pretrained",
        regions: str = "",
    ) -> None:
        """`published` takes what the papers fix from each data set, as ZSSeg or MaskCLIP have it.

        `weight` may be given beside it. `absent` says whether classes that are predicted but not in
        the truth count in mean IoU.
        """
        if weight > 1:
            raise UsageError(f"weight is at most 1, and at most 0 for the method alone: {weight:g}")
        if short < 0 or long < 1:
            raise UsageError("short and long are sides in pixels")
        fixed = (short, long, geometry, votes, threshold, enlarge, names, view)
        if published and fixed != (0, 2048, *Settings()[1:], "probabilities", "own", "windows"):
            raise UsageError(
                "published=on sets short, long, geometry, votes, threshold, view, enlarge and "
                "names: leave these options out"
            )
        if head not in self.heads:
            raise unknown("head of segmentation is named", head, self.heads, "heads")
        super().__init__(suite=suite, source=source, shots=shots)
        self._tune(tune, start, regions)
        self._propose(proposals, path)
        self.kind, self.view = head, view
        self.published, self.short, self.long = published, short, long
        self.settings = Settings(weight, geometry, votes, threshold)
        self.enlarge, self.names, self.absent = enlarge, names, absent

    def crops(self) -> str:
        stretched = self.settings.geometry == "stretch" or self.published
        return "stretched-masks" if stretched else "masks"

    def parts(self) -> Sequence[type | Callable[..., object]]:
        """The head and the source of the proposals."""
        return [self.heads[self.kind], *super().parts()]

    def run(self, bench: Bench) -> Iterable[Score]:
        """hiou, seen and unseen where there are unseen classes; miou, fwiou and accuracies."""
        data, samples = with_label_maps(bench.dataset), bench.regions.samples()
        confusion = Confusion(len(data.classes))
        for done, (truth, prediction) in enumerate(self.labelled(bench, samples), 1):
            confusion.add(truth, prediction)
            bench.regions.report_progress(done, len(samples))
        return list(confusion.scores(data.unseen(), self.absent))

    def score_file(
        self,
        data: Dataset,
        predictions: Path,
        report_progress: ReportProgress,
        warn: Callable[[str], None],
    ) -> Iterable[Score]:
        data = with_label_maps(data)
        return map_results.scores(data, predictions, report_progress, warn, self.absent)

    def comparisons(self, bench: Bench) -> Iterator[Comparison]:
        samples = bench.regions.samples()
        maps = self.labelled(bench, samples)
        for sample, (truth, prediction) in zip(samples, maps, strict=True):
            yield Comparison(sample.key, bench.dataset.image(sample), truth, prediction)

    def labelled(
        self, bench: Bench, samples: Iterable[Sample]
    ) -> Iterator[tuple[NDArray[np.uint16], NDArray[np.uint16]]]:
        """Learn the prompts, then yield (truth, prediction) of one image at a time."""
        data = with_label_maps(bench.dataset)
        if self.published:
            self._publish(data)
        words_of(data, self.names)  # refuses names that the set lacks before anything is learned
        bench.fit()
        head = self.heads[self.kind](self, bench, data)
        for sample in samples:
            truth = data.label_map(sample)
            height, width = truth.shape
            image = data.image(sample)
            if image.size != (width, height):
                raise UsageError(
                    f"the label map of {sample.key} is {height} x {width} pixels, its image "
                    f"{image.height} x {image.width}"
                )
            yield truth, head(self.scaled(image), sample.key, (height, width))

    def _publish(self, data: SegmentationSet) -> None:
        """Take the settings of ZSSeg (in POMP's evaluation) or MaskCLIP. UsageError without any."""
        if self.kind == "dense":
            if data.maskclip_size is None:
                raise UsageError(f"MaskCLIP has no settings for data set {data.name!r}")
            self.short, self.long = data.maskclip_size
            self.view, self.enlarge, self.names = "whole", "cosines", "maskclip"
            return
        if data.published is None:
            raise UsageError(f"data set {data.name!r} has no published settings")
        own, self.short, self.long, threshold = data.published
        weight = own if self.settings.weight < 0 else self.settings.weight
        self.settings = Settings(weight, "stretch", "soft", threshold)

    def dense(self, bench: Bench, data: SegmentationSet) -> DenseHead:
        """The head that classifies patches."""
        words = words_of(data, self.names)
        return DenseHead(bench, words, self.view == "windows", self.enlarge)

    def two_stages(self, bench: Bench, data: SegmentationSet) -> TwoStageHead:
        """The head that classifies proposals."""
        masks = self.proposers[self.proposals](self.path)
        words = words_of(data, self.names)
        return TwoStageHead(bench, masks, self.settings, words, data.unseen())

    def scaled(self, image: Image.Image) -> Image.Image:
        """The image with its shorter side at `short` pixels (0: as it is), no side above `long`."""
        ratio = min(
            self.short / min(image.size) if self.short else 1.0, self.long / max(image.size)
        )
        if ratio == 1:
            return image
        width, height = (max(1, round(side * ratio)) for side in image.size)
        return image.resize((width, height), Image.Resampling.BILINEAR)


def with_label_maps(data: Dataset) -> SegmentationSet:
    """The data set as one with label maps. UsageError if it has none."""
    if not isinstance(data, SegmentationSet):
        raise UsageError(f"data set {data.name!r} has no label maps to score")
    return data
