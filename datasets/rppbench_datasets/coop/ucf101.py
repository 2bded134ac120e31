"""UCF101: what a person does, in the middle frame of a video."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rppbench.contracts import SourceFile
from rppbench.errors import MissingDataError
from rppbench_datasets.coop.base import ListedImage, check_sorted, fields, lines, number
from rppbench_datasets.coop.split_zhou import ClassFolders, split_file_source


class UCF101(ClassFolders):
    """What a person does, in the middle frame of a video."""

    name = "ucf101"
    title = "UCF101"
    paper = "arXiv:1212.0402"
    origin = "https://www.crcv.ucf.edu/data/UCF101.php"
    licence = "not stated; frames of videos from the web"
    template = "a photo of a person doing {}."
    folder = "ucf101"
    images = "UCF-101-midframes"
    split_file = "split_zhou_UCF101.json"
    size = 101
    counts = {"train": 7_639, "val": 1_898, "test": 3_783}
    split_sha256 = "d78cb834f7c5792c"
    sources = (
        SourceFile(
            "drive:10Jqome3vtUA2keJkNanAiFpgbyC9Hc2O",
            "ucf101/UCF-101-midframes",
            into="ucf101",
            file="UCF-101-midframes.zip",
        ),
        split_file_source("ucf101", split_file, "1I0S0q91hJfsV9Gf4xDIjgDq4AqBNJb1y", split_sha256),
    )

    def check_order(self, names: Sequence[str], folders: Sequence[str], where: Path) -> None:
        # The order of the videos' names, which have no '_' between words; case is ignored.
        check_sorted(self, [folder.replace("_", "").lower() for folder in folders], where)

    def official_test_list(self) -> tuple[Sequence[ListedImage], Path] | None:
        folder = self.home / "ucfTrainTestlist"
        path, numbering = folder / "testlist01.txt", folder / "classInd.txt"
        if not path.is_file():
            return None
        labels = {}
        for line in lines(numbering, self.name):  # number from 1, CamelCase name
            label, action = fields(line, 2, numbering, self.name)
            labels[action] = number(label, numbering, self.name) - 1
        entries = []
        for line in lines(path, self.name):  # 'TaiChi/v_TaiChi_g01_c01.avi'
            video = PurePosixPath(line)
            action = str(video.parent)
            if action not in labels:
                raise MissingDataError(
                    f"{self.name}: {path} names {action!r}, which is not in {numbering}"
                )
            name = "_".join(re.findall("[A-Z][^A-Z]*", action))
            entries.append(ListedImage(f"{name}/{video.stem}.jpg", labels[action], name))
        return entries, path
