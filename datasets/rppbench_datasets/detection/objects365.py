"""Objects365 v2: photographs with boxes of 365 classes."""

from __future__ import annotations

from typing import ClassVar

from rppbench.contracts import DetectorSettings
from rppbench_datasets.detection.coco_format import CocoFormatDataset


class Objects365(CocoFormatDataset):
    """The validation images; class names without the typing errors of the first release."""

    name = "objects365"
    title = "Objects365 v2"
    paper = "Shao et al., ICCV 2019"
    origin = "https://www.objects365.org"
    names = "objects365"
    annotations = "objects365/annotations/zhiyuan_objv2_val_fixname.json"
    images = "objects365/val"
    published_detector = DetectorSettings(256, 0.02, 300, "product")
    corrected: ClassVar[frozenset[int]] = frozenset(
        (38, 53, 99, 123, 203, 229, 290, 292, 300, 308, 314, 322, 355)
    )
    """Ids of classes whose names have typing errors in the original file."""

    def same_name(self, number: int, name: str, known: str) -> bool:
        return number in self.corrected or super().same_name(number, name, known)
