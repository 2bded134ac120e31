"""OxfordPets: breeds of cats and dogs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rppbench.contracts import SourceFile
from rppbench_datasets.coop.base import ListedImage, check_sorted, fields, lines, number
from rppbench_datasets.coop.split_zhou import SplitFileDataset, split_file_source


class OxfordPets(SplitFileDataset):
    """Breeds of cats and dogs."""

    name = "oxford_pets"
    title = "OxfordPets"
    paper = "Parkhi et al., CVPR 2012"
    origin = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
    licence = "CC BY-SA 4.0 (its page)"
    template = "a photo of a {}, a type of pet."
    folder = "oxford_pets"
    split_file = "split_zhou_OxfordPets.json"
    size = 37
    counts = {"train": 2_944, "val": 736, "test": 3_669}
    split_sha256 = "d7f3ffe65b3919f9"
    in_its_place = ("oxford_pets/annotations",)
    sources = (
        SourceFile(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
            "oxford_pets/images",
            into="oxford_pets",
            md5="5c4f3ee8e5d25df40f4fd59a7f44e54c",
        ),
        SourceFile(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
            "oxford_pets/annotations",
            into="oxford_pets",
            md5="95a8c909bbe2e81eed6a22bccdf3f68f",
        ),
        split_file_source(
            "oxford_pets", split_file, "1501r8Ber4nNKvmlFVQZ8SeUHTcdTTEqs", split_sha256
        ),
    )

    def class_name(self, path: str) -> str:
        """The stem without its number: 'images/British_Shorthair_12.jpg' is a british_shorthair."""
        return PurePosixPath(path).stem.rpartition("_")[0].lower()

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        check_sorted(self, names, where)

    def official_test_list(self) -> tuple[Sequence[ListedImage], Path] | None:
        path = self.home / "annotations" / "test.txt"
        if not path.is_file():
            return None
        entries = []
        for line in lines(path, self.name):  # stem, class from 1, species, breed
            stem, label, _ = fields(line, 3, path, self.name)
            image = f"{stem}.jpg"
            entries.append(
                ListedImage(image, number(label, path, self.name) - 1, self.class_name(image))
            )
        return entries, path
