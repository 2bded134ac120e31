"""Detection data sets: objects of the embedded world, LVIS, COCO and Objects365."""

from __future__ import annotations

from rppbench.contracts import Dataset
from rppbench_datasets.detection.coco import Coco, CocoOpenVocabulary
from rppbench_datasets.detection.lvis import Lvis, LvisMinival
from rppbench_datasets.detection.objects365 import Objects365
from rppbench_datasets.scenes import Objects

SETS: tuple[type[Dataset], ...] = (Objects, Lvis, LvisMinival, CocoOpenVocabulary, Coco, Objects365)
