"""ImageNet-Sketch: the classes of ImageNet as drawings."""

from __future__ import annotations

from rppbench_datasets.coop.folders import ImageNetFolders


class ImageNetSketch(ImageNetFolders):
    """The classes of ImageNet as drawings."""

    name = "imagenet_sketch"
    title = "ImageNet-Sketch"
    paper = "arXiv:1905.13549"
    origin = "https://github.com/HaohanWang/ImageNet-Sketch"
    role = "shift"
    folder = "imagenet-sketch"
    folders = {"test": "images"}
    size = 1000
    counts = {"test": 50_889}
