"""StanfordCars: makes, models and years of cars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rppbench.errors import MissingDataError
from rppbench_datasets.coop.split_zhou import SplitFile


class StanfordCars(SplitFile):
    """makes, models and years of cars."""

    name = "stanford_cars"
    title = "StanfordCars"
    paper = "Krause et al., ICCV Workshops 2013"
    origin = "https://ai.stanford.edu/~jkrause/cars/car_dataset.html"
    folder = "stanford_cars"
    images = ""
    split_file = "split_zhou_StanfordCars.json"
    size = 196
    counts = {"train": 6_509, "val": 1_635, "test": 8_041}

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        for label, name in enumerate(names):
            if not name.partition(" ")[0].isdecimal():
                raise MissingDataError(
                    f"{self.name}: {where} calls label {label} {name!r}; the year comes first, "
                    "as in '2012 Audi TTS Coupe'"
                )
