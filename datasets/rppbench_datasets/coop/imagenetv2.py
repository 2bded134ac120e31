"""ImageNetV2: a new test set of ImageNet, collected like the first (matched frequency)."""

from __future__ import annotations

from collections.abc import Sequence

from rppbench_datasets.coop.folders import ImageNetFolders


class ImageNetV2(ImageNetFolders):
    """A new test set of ImageNet, collected like the first (matched frequency)."""

    name = "imagenetv2"
    title = "ImageNetV2"
    paper = "arXiv:1902.10811"
    origin = "https://github.com/modestyachts/ImageNetV2"
    role = "shift"
    folder = "imagenetv2"
    folders = {"test": "imagenetv2-matched-frequency-format-val"}
    size = 1000
    counts = {"test": 10_000}

    def vocabulary(self) -> Sequence[tuple[str, str]]:
        """Folders are named by label."""
        return [(str(label), name) for label, (_, name) in enumerate(self.named_wnids())]
