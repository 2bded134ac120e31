"""Food101: dishes."""

from __future__ import annotations

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.split_zhou import ClassFolders, split_file_source


class Food101(ClassFolders):
    """Dishes."""

    name = "food101"
    title = "Food101"
    paper = "Bossard et al., ECCV 2014"
    origin = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
    licence = "images of foodspotting.com, for research (license_agreement.txt in the archive)"
    template = "a photo of {}, a type of food."
    folder = "food-101"
    split_file = "split_zhou_Food101.json"
    size = 101
    counts = {"train": 50_500, "val": 20_200, "test": 30_300}
    aliases = {"images": ("food-101/images",)}
    sources = (
        SourceFile(
            "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
            "food-101/images",
            into="food-101",
            inside="food-101",
            md5="85eeb15f3717b99a5da872d97d918f87",
        ),
        split_file_source("food-101", split_file, "1QK0tGi096I0Ba6kggatX1ee6dJFIcEJl"),
    )
