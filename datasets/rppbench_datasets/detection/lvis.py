"""LVIS v1: COCO's photographs with boxes of 1,203 classes, most of them rare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rppbench.contracts import DetectorSettings
from rppbench.files.coco_json import text_of
from rppbench_datasets.detection.coco_format import CocoFormatDataset
from rppbench_datasets.vocabularies import table


class Lvis(CocoFormatDataset):
    """866 frequent and common classes are seen in training; 337 rare classes are unseen."""

    name = "lvis"
    title = "LVIS v1"
    paper = "arXiv:1908.03195"
    origin = "https://www.lvisdataset.org"
    licence = "annotations CC BY 4.0; images as on Flickr"
    names = "lvis"
    annotations = "lvis/lvis_v1_val.json"
    images = "coco"
    published_detector = DetectorSettings(256, 0.02, 300, "product")

    def path(self, image: Mapping[str, Any], where: str) -> str:
        # LVIS uses images of COCO's train and val folders; the URL has the folder.
        return "/".join(text_of(image, "coco_url", where).split("/")[-2:])

    def unseen(self) -> Sequence[int]:
        return [label for label, group in enumerate(self.frequencies()) if group == "r"]

    def frequencies(self) -> Sequence[str]:
        return [row[2] for row in table("lvis")]


class LvisMinival(Lvis):
    """The 4,809 validation images that are in COCO's val2017, as in GLIP (arXiv:2112.03857).

    Detectors that were trained on COCO's training images have not seen them.
    """

    name = "lvis_minival"
    title = "LVIS minival"
    suite = "minival"
    source_suite = Lvis.suite
    annotations = "lvis/lvis_v1_minival.json"
    other_annotations = ("lvis/lvis_v1_minival_inserted_image_name.json",)
