"""Segmentation data sets of photographs, in the layouts that detectron2's scripts prepare."""

from __future__ import annotations

from rppbench.contracts import Dataset
from rppbench_datasets.segmentation.ade20k import ADE20K
from rppbench_datasets.segmentation.coco_stuff import CocoStuff
from rppbench_datasets.segmentation.pascal_context import PascalContext
from rppbench_datasets.segmentation.voc2012 import VOC2012, VOC2012WithBackground

SETS: tuple[type[Dataset], ...] = (
    CocoStuff,
    VOC2012,
    VOC2012WithBackground,
    ADE20K,
    PascalContext,
)
