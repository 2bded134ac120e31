"""ImageNet-R: art, toys and other renditions of 200 classes of ImageNet."""

from __future__ import annotations

from rppbench_datasets.coop.folders import ImageNetFolders


class ImageNetR(ImageNetFolders):
    """Art, toys and other renditions of 200 classes of ImageNet."""

    name = "imagenet_r"
    title = "ImageNet-R"
    paper = "arXiv:2006.16241"
    origin = "https://github.com/hendrycks/imagenet-r"
    role = "shift"
    folder = "imagenet-rendition"
    folders = {"test": "imagenet-r"}
    size = 200
    counts = {"test": 30_000}
