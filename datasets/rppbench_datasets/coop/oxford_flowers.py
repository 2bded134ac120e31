"""Flowers102: flowers of Great Britain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rppbench.contracts import SourceFile
from rppbench.errors import WRONG_ORDER, MissingDataError
from rppbench_datasets.coop.split_zhou import SplitFileDataset, read_json, split_file_source


class OxfordFlowers(SplitFileDataset):
    """Flowers of Great Britain."""

    name = "oxford_flowers"
    title = "Flowers102"
    paper = "Nilsback and Zisserman, ICVGIP 2008"
    origin = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    licence = "not stated; images from the web"
    template = "a photo of a {}, a type of flower."
    folder = "oxford_flowers"
    images = "jpg"
    split_file = "split_zhou_OxfordFlowers.json"
    size = 102
    counts = {"train": 4_093, "val": 1_633, "test": 2_463}
    split_sha256 = "2f50c42fc1a17ca1"
    sources = (
        SourceFile(
            "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
            "oxford_flowers/jpg",
            into="oxford_flowers",
            md5="52808999861908f626f3c1f4e79d11fa",
        ),
        split_file_source(
            "oxford_flowers", split_file, "1Pp0sRXzZFZq15zVOzKjKBu4A9i01nozT", split_sha256
        ),
    )

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        path = self.home / "cat_to_name.json"
        if not path.is_file():
            return  # the split file names the classes too; this file only confirms them
        known = read_json(path, self.name)
        for label, name in enumerate(names):
            expected = known.get(str(label + 1)) if isinstance(known, dict) else None
            if name != expected:
                raise MissingDataError(
                    f"{self.name}: label {label} is {name!r} in {where} and {expected!r} in {path}",
                    WRONG_ORDER,
                )
