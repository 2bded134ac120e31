"""FGVCAircraft: variants of aircraft; the data's own lists are the split."""

from __future__ import annotations

from pathlib import Path

from rppbench.contracts import SourceFile
from rppbench.errors import MissingDataError
from rppbench_datasets.coop.base import ListedDataset, ListedImage, Lists, fields, lines


class FGVCAircraft(ListedDataset):
    """Variants of aircraft; the data's own lists are the split."""

    name = "fgvc_aircraft"
    title = "FGVCAircraft"
    paper = "arXiv:1306.5151"
    origin = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
    licence = "non-commercial research (its page)"
    template = "a photo of a {}, a type of aircraft."
    folder = "fgvc_aircraft"
    size = 100
    counts = {"train": 3_334, "val": 3_333, "test": 3_333}
    sources = (
        SourceFile(
            "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
            "fgvc_aircraft/images",
            into="fgvc_aircraft",
            inside="fgvc-aircraft-2013b/data",
        ),
    )

    def read(self) -> tuple[Lists, Path]:
        numbering = self.home / "variants.txt"
        variants = lines(numbering, self.name, numbered=True)
        labels = {variant: label for label, variant in enumerate(variants)}
        lists = {}
        for split in self.counts:
            path = self.home / f"images_variant_{split}.txt"
            entries = []
            for line in lines(path, self.name):
                image, variant = fields(line, 2, path, self.name)
                if variant not in labels:
                    raise MissingDataError(
                        f"{self.name}: {path} names {variant!r}, which is not in {numbering}"
                    )
                entries.append(ListedImage(f"{image}.jpg", labels[variant], variant))
            lists[split] = entries
        return lists, self.home
