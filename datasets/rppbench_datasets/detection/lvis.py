"""LVIS v1: COCO's photographs with boxes of 1,203 classes, most of them rare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rppbench.files.coco_json import word
from rppbench_datasets.detection.annotated import Annotated
from rppbench_datasets.vocabularies import table


class Lvis(Annotated):
    """866 frequent and common classes to learn on, 337 rare ones that nothing was learned of."""

    name = "lvis"
    title = "LVIS v1"
    paper = "arXiv:1908.03195"
    origin = "https://www.lvisdataset.org"
    licence = "annotations CC BY 4.0; images as on Flickr"
    names = "lvis"
    annotations = "lvis/lvis_v1_val.json"
    images = "coco"

    def path(self, image: Mapping[str, Any], where: str) -> str:
        # Images of LVIS are those of COCO, in either part; the address tells which.
        return "/".join(word(image, "coco_url", where).split("/")[-2:])

    def unseen(self) -> Sequence[int]:
        return [label for label, group in enumerate(self.frequencies()) if group == "r"]

    def frequencies(self) -> Sequence[str]:
        return [row[2] for row in table("lvis")]
