"""ImageNet-R: art, toys and other renditions of 200 classes of ImageNet."""

from __future__ import annotations

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.imagenet_folders import ImageNetFolders, classnames_source


class ImageNetR(ImageNetFolders):
    """Art, toys and other renditions of 200 classes of ImageNet."""

    name = "imagenet_r"
    title = "ImageNet-R"
    paper = "arXiv:2006.16241"
    origin = "https://github.com/hendrycks/imagenet-r"
    licence = "MIT (its repository); images from the web"
    role = "shift"
    folder = "imagenet-rendition"
    folders = {"test": "imagenet-r"}
    size = 200
    counts = {"test": 30_000}
    sources = (
        SourceFile(
            "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",
            "imagenet-rendition/imagenet-r",
            into="imagenet-rendition",
            md5="a61312130a589d0ca1a8fca1f2bd3337",
        ),
        classnames_source(folder),
    )
