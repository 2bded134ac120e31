"""ImageNet-Sketch: the classes of ImageNet as drawings."""

from __future__ import annotations

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.imagenet_folders import ImageNetFolders, classnames_source


class ImageNetSketch(ImageNetFolders):
    """The classes of ImageNet as drawings."""

    name = "imagenet_sketch"
    title = "ImageNet-Sketch"
    paper = "arXiv:1905.13549"
    origin = "https://github.com/HaohanWang/ImageNet-Sketch"
    licence = "MIT (its repository); images from the web"
    role = "shift"
    folder = "imagenet-sketch"
    folders = {"test": "images"}
    size = 1000
    counts = {"test": 50_889}
    aliases = {"images": ("sketch",)}
    sources = (
        SourceFile(
            "https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/"
            "ImageNet-Sketch.zip",
            "imagenet-sketch/images",
            into="imagenet-sketch",
            instead=("drive:1Mj0i5HBthqH1p_yeXzsg22gZduvgoNeA",),
        ),
        classnames_source(folder),
    )
