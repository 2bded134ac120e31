"""DTD: textures, named by adjectives."""

from __future__ import annotations

from rppbench_datasets.coop.split_zhou import ClassFolders


class DescribableTextures(ClassFolders):
    """Textures, named by adjectives."""

    name = "dtd"
    title = "DTD"
    paper = "arXiv:1311.3618"
    origin = "https://www.robots.ox.ac.uk/~vgg/data/dtd/"
    template = "{} texture."
    folder = "dtd"
    split_file = "split_zhou_DescribableTextures.json"
    size = 47
    counts = {"train": 2_820, "val": 1_128, "test": 1_692}
