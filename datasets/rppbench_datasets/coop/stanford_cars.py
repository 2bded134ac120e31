"""StanfordCars: makes, models and years of cars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rppbench.errors import MissingDataError
from rppbench_datasets.coop.files import Entry
from rppbench_datasets.coop.split_zhou import SplitFile


class StanfordCars(SplitFile):
    """Makes, models and years of cars."""

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

    def side_files(self) -> tuple[Sequence[Entry], Path] | None:
        path = self.home / "cars_test_annos_withlabels.mat"
        if not path.is_file():
            return None
        numbering = self.home / "devkit" / "cars_meta.mat"
        names = [_year_first(str(name)) for name in self._matlab(numbering, "class_names")]
        entries = []
        for line in self._matlab(path, "annotations"):
            try:
                label = int(line["class"]) - 1
                entries.append(Entry(f"cars_test/{line['fname']}", label, names[label]))
            except (LookupError, TypeError, ValueError):
                raise MissingDataError(f"{self.name}: cannot read {path}: {line}") from None
        return entries, path

    def _matlab(self, path: Path, variable: str) -> Sequence[Any]:
        """What a MATLAB file holds under a name."""
        from scipy.io import loadmat  # only these files need it

        try:
            return list(loadmat(path, variable_names=[variable], simplify_cells=True)[variable])
        except Exception as error:  # its reader raises anything for a damaged file
            raise MissingDataError(f"{self.name}: cannot read {path}: {error}") from error


def _year_first(name: str) -> str:
    """'Audi TTS Coupe 2012' as '2012 Audi TTS Coupe'."""
    model, _, year = name.rpartition(" ")
    return f"{year} {model}"
