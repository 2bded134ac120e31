"""PASCAL-Context: VOC 2010 photographs labelled with the 59 most frequent classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rppbench.contracts import PublishedSettings
from rppbench_datasets.segmentation.label_maps import LabelMaps, prepared


class PascalContext(LabelMaps):
    """The validation images with 59 classes; the background is not scored."""

    name = "pascal_context"
    title = "PASCAL-Context-59"
    paper = "Mottaghi et al., CVPR 2014"
    origin = "https://www.cs.stanford.edu/~roozbeh/pascal-context/"
    licence = "images of VOC 2010, from Flickr, under its terms"
    names = "pascal_context"
    maps = "pcontext/val/label"
    images = "pcontext/val/image"
    size = 59
    counts = {"test": 5_105}
    layouts: ClassVar[Mapping[int, str]] = {
        5_104: "the list of the package `detail`, as in mmsegmentation; ZSSeg and POMP have 5,105"
    }
    sources = prepared(images, maps, origin)
    published = PublishedSettings(weight=0.2, short=512, long=2048)
    maskclip_size = (520, 520)
