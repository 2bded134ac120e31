"""StanfordCars: makes, models and years of cars."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rppbench.contracts import SourceFile
from rppbench.errors import WRONG_ORDER, MissingDataError
from rppbench_datasets.coop.base import ListedImage
from rppbench_datasets.coop.split_zhou import SplitFileDataset, split_file_source

COPIES = (
    "its own server (ai.stanford.edu/~jkrause/car196) has been offline since 2023",
    "https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset has the same files one "
    "folder deeper (cars_train/cars_train), which is recognised",
    "https://www.kaggle.com/datasets/jutrera/stanford-car-dataset-by-classes-folder has them by "
    "class (car_data/car_data/train/<class>), which is recognised if the numbers are the same",
    "https://github.com/pytorch/vision/issues/7545 says more; copies with six digits "
    "(car_ims/000001.jpg) number the images in another way and do not fit the split file",
)
"""Known from their pages and their users; they were not downloaded for this list."""


class StanfordCars(SplitFileDataset):
    """Makes, models and years of cars."""

    name = "stanford_cars"
    title = "StanfordCars"
    paper = "Krause et al., ICCV Workshops 2013"
    origin = "https://ai.stanford.edu/~jkrause/cars/car_dataset.html"
    licence = "non-commercial research (its README)"
    folder = "stanford_cars"
    images = ""
    split_file = "split_zhou_StanfordCars.json"
    size = 196
    counts = {"train": 6_509, "val": 1_635, "test": 8_041}
    split_sha256 = "40acee7aa65c8e47"
    aliases = {
        "cars_train": ("car_data/car_data/train/*", "car_data/train/*"),
        "cars_test": ("car_data/car_data/test/*", "car_data/test/*"),
    }
    sources = (
        SourceFile(
            "",
            "stanford_cars/cars_train",
            into="stanford_cars",
            file="cars_train.tgz",
            pages=COPIES,
        ),
        SourceFile(
            "",
            "stanford_cars/cars_test",
            into="stanford_cars",
            file="cars_test.tgz",
            pages=COPIES,
        ),
        split_file_source(
            "stanford_cars", split_file, "1ObCFbaAgVu0I-k_Au-gIUcefirdAuizT", split_sha256
        ),
    )

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        for label, name in enumerate(names):
            if not name.partition(" ")[0].isdecimal():
                raise MissingDataError(
                    f"{self.name}: {where} calls label {label} {name!r}; the year comes first, "
                    "as in '2012 Audi TTS Coupe'",
                    WRONG_ORDER,
                )

    def official_test_list(self) -> tuple[Sequence[ListedImage], Path] | None:
        path = self.home / "cars_test_annos_withlabels.mat"
        if not path.is_file():
            return None
        numbering = self.home / "devkit" / "cars_meta.mat"
        names = [_year_first(str(name)) for name in self._matlab(numbering, "class_names")]
        entries = []
        for line in self._matlab(path, "annotations"):
            try:
                label = int(line["class"]) - 1
                entries.append(ListedImage(f"cars_test/{line['fname']}", label, names[label]))
            except (LookupError, TypeError, ValueError):
                raise MissingDataError(f"{self.name}: cannot read {path}: {line}") from None
        return entries, path

    def _matlab(self, path: Path, variable: str) -> Sequence[Any]:
        """A variable in a MATLAB file. MissingDataError if it cannot be read."""
        words = [sys.executable, "-P", "-c", READ_MATLAB, os.fspath(path), variable]
        try:
            done = subprocess.run(words, capture_output=True, timeout=SECONDS, check=True)
            return list(json.loads(done.stdout))
        except (subprocess.SubprocessError, ValueError, TypeError) as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
            reason = said.splitlines()[-1] if said else "its reader gave no answer"
            raise MissingDataError(f"{self.name}: cannot read {path}: {reason}") from error


READ_MATLAB = """
import json, sys
from scipy.io import loadmat
value = loadmat(sys.argv[1], variable_names=[sys.argv[2]], simplify_cells=True)[sys.argv[2]]
json.dump(list(value), sys.stdout, default=lambda scalar: scalar.item())
"""
"""scipy's reader crashes on some damaged files, so it runs in a process of its own."""
SECONDS = 60


def _year_first(name: str) -> str:
    """'Audi TTS Coupe 2012' as '2012 Audi TTS Coupe'."""
    model, _, year = name.rpartition(" ")
    return f"{year} {model}"
