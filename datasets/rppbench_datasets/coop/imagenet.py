"""ImageNet: the source data set of 1,000 classes; its validation images are the test split."""

from __future__ import annotations

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.imagenet_folders import ImageNetFolders, classnames_source

PAGE = (
    "image-net.org after a log-in: ILSVRC2012, unpacked to one folder a class, the validation "
    "images as well"
)


class ImageNet(ImageNetFolders):
    """A thousand classes to learn on; the validation images are the test set."""

    name = "imagenet"
    title = "ImageNet"
    paper = "Deng et al., CVPR 2009"
    origin = "https://image-net.org/"
    licence = "non-commercial research and education (image-net.org)"
    role = "source"
    few_shot = True
    folder = "imagenet"
    folders = {"train": "images/train", "test": "images/val"}
    size = 1000
    counts = {"train": 1_281_167, "test": 50_000}
    sources = (
        SourceFile("", "imagenet/images/train", into="imagenet/images/train", pages=(PAGE,)),
        SourceFile("", "imagenet/images/val", into="imagenet/images/val", pages=(PAGE,)),
        classnames_source(folder),
    )
