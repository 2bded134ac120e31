"""ImageNetV2: a new test set of ImageNet, collected like the first (matched frequency)."""

from __future__ import annotations

from collections.abc import Sequence

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.imagenet_folders import ImageNetFolders, classnames_source


class ImageNetV2(ImageNetFolders):
    """A new test set of ImageNet, collected like the first (matched frequency)."""

    name = "imagenetv2"
    title = "ImageNetV2"
    paper = "arXiv:1902.10811"
    origin = "https://github.com/modestyachts/ImageNetV2"
    licence = "MIT (its repository); images from Flickr"
    role = "shift"
    folder = "imagenetv2"
    folders = {"test": "imagenetv2-matched-frequency-format-val"}
    size = 1000
    counts = {"test": 10_000}
    sources = (
        SourceFile(
            "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/"
            "imagenetv2-matched-frequency.tar.gz",
            "imagenetv2/imagenetv2-matched-frequency-format-val",
            into="imagenetv2",
            instead=(
                "https://s3-us-west-2.amazonaws.com/imagenetv2public/"
                "imagenetv2-matched-frequency.tar.gz",
            ),
        ),
        classnames_source(folder),
    )

    def vocabulary(self) -> Sequence[tuple[str, str]]:
        """Folders are named by label."""
        return [(str(label), name) for label, (_, name) in enumerate(self.named_wnids())]
