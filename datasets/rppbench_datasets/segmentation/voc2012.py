"""PASCAL VOC 2012: twenty kinds of things, 15 seen and 5 unseen; the background is not scored."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rppbench.contracts import PublishedSettings
from rppbench.errors import MissingDataError
from rppbench_datasets.segmentation.label_maps import LabelMaps, prepared
from rppbench_datasets.vocabularies import table

SHOWN = 3
"""Most leaked masks that the message names."""


class VOC2012(LabelMaps):
    """The validation images of the segmentation challenge."""

    name = "voc2012"
    title = "VOC 2012"
    paper = "Everingham et al., IJCV 2010; split: Xian et al., CVPR 2019"
    origin = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
    licence = "images from Flickr, under its terms"
    names = "voc2012"
    maps = "VOC2012/annotations_detectron2/val"
    images = "VOC2012/JPEGImages"
    train_maps = "VOC2012/annotations_detectron2/train"
    train_images = images
    size = 20
    counts = {"test": 1_449}
    sources = prepared(images, maps, origin)
    published = PublishedSettings(weight=0.7, short=512, long=2048)
    maskclip_size = (512, 2048)

    def __init__(self) -> None:
        super().__init__()
        self._check_leak()

    def _check_leak(self) -> None:
        """MissingDataError if the folder of masks for seen-class training has validation masks.

        POMP's `prepare_voc_sem_seg.py` writes them there if it runs more than one process. Images
        pair with masks by name, so a model trained on that folder learns from validation images.
        """
        folder = self.folder.with_name("train_base")
        if not folder.is_dir():
            return
        leaked = sorted(self._sizes.keys() & set(os.listdir(folder)))
        if leaked:
            raise MissingDataError(
                f"{self.name}: {folder} holds {len(leaked):,} validation masks "
                f"({', '.join(leaked[:SHOWN])}, ...), so proposals or prompts that were trained on "
                "it have seen the test images; prepare it again with --nproc 1"
            )


class VOC2012WithBackground(LabelMaps):
    """The same images with the background as a class, which stands for whatever else is there.

    The layout is that of the challenge: 0 is the background, 1 to 20 the things. The words of the
    background and of some classes are those of wangf3014/SCLIP, configs/cls_voc21.txt.
    """

    name = "voc2012_background"
    title = "VOC 2012 with background"
    suite = "background"
    source_suite = VOC2012.suite
    paper = "Everingham et al., IJCV 2010; words: arXiv:2312.01597"
    origin = VOC2012.origin
    licence = VOC2012.licence
    names = "voc2012_background"
    maps = "VOC2012/SegmentationClassAug"
    listing = "VOC2012/val.txt"
    images = VOC2012.images
    size = 21
    counts = VOC2012.counts
    sources = prepared(images, maps, origin, listing)
    maskclip_size = (512, 2048)

    def words(self) -> Sequence[Sequence[str]]:
        return [row[2].split(", ") for row in table(self.names)]
