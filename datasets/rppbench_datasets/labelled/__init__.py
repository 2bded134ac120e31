"""Photographs with a label for each pixel, in the layouts that detectron2's scripts prepare."""

from __future__ import annotations

from rppbench.contracts import Dataset
from rppbench_datasets.labelled.ade20k import ADE20K
from rppbench_datasets.labelled.coco_stuff import CocoStuff
from rppbench_datasets.labelled.pascal_context import PascalContext
from rppbench_datasets.labelled.voc2012 import VOC2012

SETS: tuple[type[Dataset], ...] = (CocoStuff, VOC2012, ADE20K, PascalContext)
