"""ImageNet-A: photographs that classifiers fail on, of 200 classes of ImageNet."""

from __future__ import annotations

from rppbench_datasets.coop.folders import ImageNetFolders


class ImageNetA(ImageNetFolders):
    """Photographs that classifiers fail on, of 200 classes of ImageNet."""

    name = "imagenet_a"
    title = "ImageNet-A"
    paper = "arXiv:1907.07174"
    origin = "https://github.com/hendrycks/natural-adv-examples"
    role = "shift"
    folder = "imagenet-adversarial"
    folders = {"test": "imagenet-a"}
    size = 200
    counts = {"test": 7_500}
