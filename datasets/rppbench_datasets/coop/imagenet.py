"""ImageNet: a thousand classes to learn on; the validation images are the test set."""

from __future__ import annotations

from rppbench_datasets.coop.folders import ImageNetFolders


class ImageNet(ImageNetFolders):
    """A thousand classes to learn on; the validation images are the test set."""

    name = "imagenet"
    title = "ImageNet"
    paper = "Deng et al., CVPR 2009"
    origin = "https://image-net.org/"
    role = "source"
    folder = "imagenet"
    folders = {"train": "images/train", "test": "images/val"}
    size = 1000
    counts = {"train": 1_281_167, "test": 50_000}
