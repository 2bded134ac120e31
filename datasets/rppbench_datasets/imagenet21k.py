"""ImageNet-21K, winter 2021, as processed by Alibaba MIIL: the large vocabulary of POMP and RPP.

Ridnik et al., ImageNet-21K Pretraining for the Masses, 2021. The classes are the class folders on
disk; their names are the first words of the synsets in timm's tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from rppbench.contracts import Dataset, Finding, ReportProgress, Sample, SourceFile, data_root
from rppbench.errors import WRONG_COUNT, WRONG_VARIANT, MissingDataError, unknown
from rppbench.files.lines import split_lines
from rppbench_datasets import image_files
from rppbench_datasets.manifest import open_manifest

FOLDER = "imagenet21k_resized"
TRAIN, VAL = "imagenet21k_train", "imagenet21k_val"
SPLITS = {"train": TRAIN, "val": VAL, "test": VAL}
"""The release can only be tested on 'val', so nothing may be selected on 'val'."""
SHOWN = 5
"""Most class folders that a message names."""

PAGE = "image-net.org after a log-in: 'Winter 2021 release, processed' (about 280 GB)"

WINTER21 = "imagenet21k_miil_w21_synsets.txt"
FALL11 = "imagenet21k_miil_synsets.txt"
TREE = "imagenet21k_miil_tree.pth"
"""MIIL's own table of names, a torch file beside the images; read if timm is not installed."""

LEMMAS = "imagenet_synset_to_lemma.txt"
"""Tables of timm: the synsets of both processed releases, and the words of each synset."""


class ImageNet21K(Dataset):
    """10,450 classes if the copy is complete; its authors squashed the images to 224 x 224."""

    name = "imagenet21k"
    title = "ImageNet-21K"
    suite = "coop"
    role = "source"
    large = True
    scanned = True
    paper = "arXiv:2104.10972"
    licence = "non-commercial research and education (image-net.org)"
    size = 10_450
    counts = {"train": 11_060_223, "val": 522_500, "test": 522_500}
    sources = (
        SourceFile("", f"{FOLDER}/{TRAIN}", FOLDER, pages=(PAGE,)),
        SourceFile("", f"{FOLDER}/{VAL}", FOLDER, pages=(PAGE,)),
    )
    origin = "image-net.org: 'Winter 2021 release, processed'; github.com/Alibaba-MIIL/ImageNet21K"

    def __init__(self) -> None:
        self.root = data_root() / FOLDER
        for part in (TRAIN, VAL):
            if not (self.root / part).is_dir():
                raise MissingDataError(
                    f"no folder {self.root / part}\n{self.name} is looked for under "
                    "$RPPBENCH_DATA, else $DATA, else ./data; get the processed winter 2021 "
                    "release (about 280 GB) from image-net.org"
                )
        self.manifest = open_manifest(self.root, (TRAIN, VAL))
        paths = [folder.path.split("/") for folder in self.manifest.folders]
        train = [name for part, name in paths if part == TRAIN]
        val = [name for part, name in paths if part == VAL]
        if not train:
            raise MissingDataError(f"no class folders in {self.root / TRAIN}")
        tree = self.root / TREE
        names = _tree(tree) if find_spec("timm") is None and tree.is_file() else None
        if names is None:
            _refuse_other_releases(self.root, {*train, *val})
        elif unknown_wnids := sorted({*train, *val} - set(names)):
            raise MissingDataError(
                f"{self.root} has classes that {tree} lacks: {_first(unknown_wnids)}"
            )
        for wnids, others, part in ((train, val, VAL), (val, train, TRAIN)):
            if missing := sorted(set(wnids) - set(others)):
                raise MissingDataError(
                    f"{TRAIN} has {len(train):,} class folders and {VAL} has {len(val):,}; "
                    f"{self.root / part} lacks {_first(missing)}",
                    WRONG_COUNT,
                )
        self.wnids = train
        """WordNet id of every label."""
        lemmas = _lemmas() if names is None else names
        self._classes = tuple(lemmas[wnid] for wnid in train)

    @property
    def classes(self) -> Sequence[str]:
        return self._classes

    def samples(self, split: str) -> Sequence[Sample]:
        if split not in SPLITS:
            raise unknown(f"split of {self.name} is named", split, SPLITS, "splits")
        part = SPLITS[split]
        return self.manifest.samples(
            {f"{part}/{wnid}": label for label, wnid in enumerate(self.wnids)}
        )

    def image(self, sample: Sample) -> Image.Image:
        return image_files.read_image(self.root / sample.key)

    def file(self, sample: Sample) -> Path:
        return self.root / sample.key

    def paths(self, samples: Sequence[Sample]) -> Sequence[str]:
        return image_files.paths_below(self.root, samples)

    @classmethod
    def index(cls, report: ReportProgress) -> Sequence[Path]:
        return [open_manifest(data_root() / FOLDER, (TRAIN, VAL), report).file]

    def findings(self) -> Iterator[Finding]:
        yield Finding("", "the processed winter 2021 release, by its class folders")
        for text in self.remarks():
            yield Finding(WRONG_COUNT, text)

    def remarks(self) -> Iterator[str]:
        if len(self.wnids) != self.size:
            yield f"{len(self.wnids):,} classes, not {self.size:,}, in {self.root}"
        for split in ("train", "val"):
            images, expected = len(self.samples(split)), self.counts[split]
            if images != expected:
                folder = self.root / SPLITS[split]
                yield f"{folder} has {images:,} images, not {expected:,}"

    def fingerprint(self) -> str:
        facts = (1, self.template, self.classes, self.manifest.digest)
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _refuse_other_releases(root: Path, wnids: set[str]) -> None:
    """MissingDataError unless all classes are those of winter 2021, processed."""
    unknown_wnids = sorted(wnids - set(_table(WINTER21)))
    if not unknown_wnids:
        return
    count = f"{root} has {len(wnids):,} classes"
    expected = "imagenet21k is the processed winter 2021 release: 10,450 classes"
    if wnids <= set(_table(FALL11)):
        raise MissingDataError(
            f"{count}, among them {_first(unknown_wnids)}: this is the processed fall 2011 release "
            f"(11,221 classes)\n{expected}, among them none of these; the two are never mixed",
            WRONG_VARIANT,
        )
    raise MissingDataError(
        f"{count}, among them {_first(unknown_wnids)}, which the release does not have\n"
        f"{expected}; "
        "its 'small classes' and the unprocessed releases are other data sets (the 10,451 folders "
        "of POMP's documentation count the folder itself)",
        WRONG_VARIANT,
    )


def _lemmas() -> dict[str, str]:
    """Class name by WordNet id: the first word or words of the synset."""
    rows = (line.split("\t") for line in _table(LEMMAS))
    return {wnid: words.split(",")[0].replace("_", " ").strip() for wnid, words in rows}


def _tree(path: Path) -> dict[str, str]:
    """Class names by WordNet id from MIIL's file.

    MissingDataError if it cannot be read, or holds anything but plain data.
    """
    import torch

    try:
        names = torch.load(path, map_location="cpu", weights_only=True)["class_description"]
        return {str(wnid): str(name).replace("_", " ").strip() for wnid, name in names.items()}
    except Exception as error:  # torch raises errors of any type for a damaged or hostile file
        reason = f"cannot read the class names in {path}: {type(error).__name__}"
        raise MissingDataError(
            f"{reason}; only plain data is taken from it\n"
            "pip install 'rppbench[data]' has the names too"
        ) from error


def _table(name: str) -> list[str]:
    """Lines of a table of timm's. timm is not imported: that takes seconds."""
    package = find_spec("timm")
    folders: Iterable[str] = (package.submodule_search_locations or ()) if package else ()
    for folder in folders:
        table = Path(folder) / "data" / "_info" / name
        if table.is_file():
            return split_lines(table.read_text(encoding="utf-8"))
    raise MissingDataError(
        f"the class names of imagenet21k are in timm's table {name}, which is not installed; "
        "pip install 'rppbench[data]'"
    )


def _first(wnids: Sequence[str]) -> str:
    return ", ".join(wnids[:SHOWN]) + (", ..." if len(wnids) > SHOWN else "")
