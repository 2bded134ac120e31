"""COCO 2017: photographs with boxes of eighty everyday classes, and its open-vocabulary split."""

from __future__ import annotations

from collections.abc import Sequence

from rppbench.contracts import DetectorSettings
from rppbench_datasets.detection.coco_format import CocoFormatDataset
from rppbench_datasets.vocabularies import table


class Coco(CocoFormatDataset):
    """The validation images with all eighty classes."""

    name = "coco"
    title = "COCO"
    paper = "arXiv:1405.0312"
    origin = "https://cocodataset.org"
    licence = "annotations CC BY 4.0; images as on Flickr"
    names = "coco"
    annotations = "coco/annotations/instances_val2017.json"
    images = "coco/val2017"


class CocoOpenVocabulary(Coco):
    """Boxes of 48 seen and 17 unseen classes, among eighty names: as POMP and Detic evaluate."""

    name = "coco_ov"
    title = "COCO (open vocabulary)"
    paper = "arXiv:1804.04340, arXiv:2011.10678"
    annotations = "coco/zero-shot/instances_val2017_all_2_oriorder.json"
    published_detector = DetectorSettings(1000, 0.05, 100, "class")
    """Detectron2's own settings, which Detic's Base_OVCOCO_C4_1x.yaml leaves as they are."""

    def unseen(self) -> Sequence[int]:
        return [label for label, row in enumerate(table("coco")) if row[2] == "unseen"]
