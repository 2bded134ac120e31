"""DTD: textures, named by adjectives."""

from __future__ import annotations

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.split_zhou import ClassFolders, split_file_source


class DescribableTextures(ClassFolders):
    """Textures, named by adjectives."""

    name = "dtd"
    title = "DTD"
    paper = "arXiv:1311.3618"
    origin = "https://www.robots.ox.ac.uk/~vgg/data/dtd/"
    licence = "for research (its page)"
    template = "{} texture."
    folder = "dtd"
    split_file = "split_zhou_DescribableTextures.json"
    size = 47
    counts = {"train": 2_820, "val": 1_128, "test": 1_692}
    split_sha256 = "f26ebeccd2b58e68"
    aliases = {"images": ("dtd/images",)}
    sources = (
        SourceFile(
            "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
            "dtd/images",
            into="dtd",
            inside="dtd",
            md5="fff73e5086ae6bdbea199a49dfb8a4c1",
        ),
        split_file_source("dtd", split_file, "1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x", split_sha256),
    )
