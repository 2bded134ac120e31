"""Food101: dishes."""

from __future__ import annotations

from rppbench_datasets.coop.split_zhou import ClassFolders


class Food101(ClassFolders):
    """Dishes."""

    name = "food101"
    title = "Food101"
    paper = "Bossard et al., ECCV 2014"
    origin = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
    template = "a photo of {}, a type of food."
    folder = "food-101"
    split_file = "split_zhou_Food101.json"
    size = 101
    counts = {"train": 50_500, "val": 20_200, "test": 30_300}
