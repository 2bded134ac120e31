"""COCO-Stuff: things and materials of the COCO 2017 photographs, 156 seen classes and 15 unseen."""

from __future__ import annotations

from collections.abc import Sequence

from rppbench.contracts import PublishedSettings
from rppbench_datasets.segmentation.label_maps import LabelMaps, prepared
from rppbench_datasets.vocabularies import table


class CocoStuff(LabelMaps):
    """The validation images with all 171 classes."""

    name = "coco_stuff"
    title = "COCO-Stuff"
    paper = "arXiv:1612.03716; split: Xian et al., CVPR 2019"
    origin = "https://github.com/nightrome/cocostuff"
    licence = "annotations CC BY 4.0; images as on Flickr"
    names = "coco_stuff"
    maps = "coco/stuffthingmaps_detectron2/val2017"
    images = "coco/val2017"
    train_maps = "coco/stuffthingmaps_detectron2/train2017"
    train_images = "coco/train2017"
    size = 171
    counts = {"test": 5_000}
    sources = prepared(images, maps, origin)
    published = PublishedSettings(weight=0.8, short=640, long=2560)
    maskclip_size = (512, 2048)

    def result_ids(self) -> Sequence[int]:
        """COCO's ids with their gaps, as ZSSeg registers them: things up to 90, then the rest."""
        return [*(int(number) for number, *_ in table("coco")), *range(92, 183)]
