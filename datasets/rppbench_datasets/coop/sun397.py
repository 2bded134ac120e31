"""SUN397: scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rppbench.contracts import SourceFile
from rppbench.errors import WRONG_COUNT, WRONG_ORDER, MissingDataError
from rppbench_datasets.coop.base import ListedImage, lines
from rppbench_datasets.coop.split_zhou import SplitFileDataset, split_file_source


class SUN397(SplitFileDataset):
    """Scenes."""

    name = "sun397"
    title = "SUN397"
    paper = "Xiao et al., CVPR 2010"
    origin = "https://vision.princeton.edu/projects/2010/SUN/"
    licence = "not stated; images from the web, for research"
    folder = "sun397"
    images = "SUN397"
    split_file = "split_zhou_SUN397.json"
    size = 397
    counts = {"train": 15_880, "val": 3_970, "test": 19_850}
    sources = (
        SourceFile(
            "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
            "sun397/SUN397",
            into="sun397",
            md5="8ca2778205c41d23104230ba66911c7a",
            pages=("its server is offline at times; no other copy of this archive is known",),
        ),
        split_file_source("sun397", split_file, "1y2RD81BYuiyvebdN-JymPfyWYcd8_MUq"),
    )

    def class_name(self, path: str) -> str:
        """'a/apartment_building/outdoor/x.jpg' is of the class 'outdoor apartment_building'."""
        return " ".join(reversed(PurePosixPath(path).parts[1:-1]))

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        if not self._numbering.is_file():
            return  # only needed where there is no split file
        for label, (folder, line) in enumerate(zip(folders, self._folders_by_label(), strict=True)):
            if folder != line:
                raise MissingDataError(
                    f"{self.name}: class order wrong in {where}: label {label} is {folder!r}, "
                    f"{line!r} in {self._numbering}",
                    WRONG_ORDER,
                )

    def official_test_list(self) -> tuple[Sequence[ListedImage], Path] | None:
        path = self.home / "Testing_01.txt"
        if not path.is_file():
            return None
        labels = {folder: label for label, folder in enumerate(self._folders_by_label())}
        entries = []
        for line in lines(path, self.name):
            image = line.removeprefix("/")
            folder = str(PurePosixPath(image).parent)
            if folder not in labels:
                raise MissingDataError(
                    f"{self.name}: {path} names {folder!r}, which is not in {self._numbering}"
                )
            entries.append(ListedImage(image, labels[folder], self.class_name(image)))
        return entries, path

    @property
    def _numbering(self) -> Path:
        """The file of class folders in order of their labels."""
        return self.home / "ClassName.txt"

    def _folders_by_label(self) -> list[str]:
        """The folder of each class by label. MissingDataError if the number of classes is wrong."""
        numbered = lines(self._numbering, self.name, numbered=True)
        folders = [line.removeprefix("/") for line in numbered]
        if len(folders) != self.size:
            raise MissingDataError(
                f"{self.name}: {self._numbering} has {len(folders)} classes, not {self.size}",
                WRONG_COUNT,
            )
        return folders
