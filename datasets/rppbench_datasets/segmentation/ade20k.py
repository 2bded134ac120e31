"""ADE20K: scenes with the 150 classes of the scene parsing benchmark."""

from __future__ import annotations

from rppbench.contracts import PublishedSettings
from rppbench_datasets.segmentation.label_maps import LabelMaps, prepared


class ADE20K(LabelMaps):
    """The validation images with 150 classes, named with their synonyms as in detectron2."""

    name = "ade20k"
    title = "ADE20K-150"
    paper = "arXiv:1608.05442"
    origin = "http://sceneparsing.csail.mit.edu"
    licence = "images for non-commercial research and education (its page)"
    names = "ade20k"
    maps = "ADEChallengeData2016/annotations_detectron2/validation"
    images = "ADEChallengeData2016/images/validation"
    size = 150
    counts = {"test": 2_000}
    sources = prepared(images, maps, origin)
    published = PublishedSettings(weight=0.5, short=512, long=2048, threshold=0.4)
    maskclip_size = (512, 2048)
