"""ImageNet-A: photographs that classifiers fail on, of 200 classes of ImageNet."""

from __future__ import annotations

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.imagenet_folders import ImageNetFolders, classnames_source


class ImageNetA(ImageNetFolders):
    """Photographs that classifiers fail on, of 200 classes of ImageNet."""

    name = "imagenet_a"
    title = "ImageNet-A"
    paper = "arXiv:1907.07174"
    origin = "https://github.com/hendrycks/natural-adv-examples"
    licence = "MIT (its repository); images from the web"
    role = "shift"
    folder = "imagenet-adversarial"
    folders = {"test": "imagenet-a"}
    size = 200
    counts = {"test": 7_500}
    sources = (
        SourceFile(
            "https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",
            "imagenet-adversarial/imagenet-a",
            into="imagenet-adversarial",
        ),
        classnames_source(folder),
    )
