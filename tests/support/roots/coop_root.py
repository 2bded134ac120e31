"""Small data roots in the real layout of each CoOp data set: few classes, tiny images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rppbench_datasets import coop
from rppbench_datasets.coop import imagenet_folders
from rppbench_datasets.coop.base import CoopDataset

KINDS: dict[str, Any] = {kind.name: kind for kind in coop.SETS}
LISTED = [name for name, kind in KINDS.items() if hasattr(kind, "split_file")]
FAMILY = [
    name for name, kind in KINDS.items() if issubclass(kind, imagenet_folders.ImageNetFolders)
]

TRAIN, VAL, TEST = (20, 16, 5), 5, 2
"""Training images of the classes in turn: more than 16, exactly 16, fewer than the shots."""

WNIDS = [f"n{number:08}" for number in (7, 11, 12, 30, 31, 32, 33, 90, 91, 92, 93, 94)]
NAMES = ["tench", "great white shark", "missile", "Komodo dragon", "missile", "T-shirt / top"]
NAMES += ["clock (digital)", "boa", "crate", "hen", "ladle", "toilet paper"]

FOLDERS: dict[str, list[tuple[str, str]]] = {
    "caltech101": [
        ("Faces", "face"),
        ("Leopards", "leopard"),
        ("accordion", "accordion"),
        ("airplanes", "airplane"),
        ("yin_yang", "yin_yang"),
    ],
    "food101": [
        ("apple_pie", "apple_pie"),
        ("cheese_plate", "cheese_plate"),
        ("cheesecake", "cheesecake"),
    ],
    "sun397": [
        ("a/abbey", "abbey"),
        ("a/apartment_building/outdoor", "outdoor apartment_building"),
        ("b/bar", "bar"),
    ],
    "dtd": [("banded", "banded"), ("polka-dotted", "polka-dotted")],
    "eurosat": [
        ("AnnualCrop", "Annual Crop Land"),
        ("Forest", "Forest"),
        ("HerbaceousVegetation", "Herbaceous Vegetation Land"),
        ("Highway", "Highway or Road"),
        ("Industrial", "Industrial Buildings"),
        ("Pasture", "Pasture Land"),
        ("PermanentCrop", "Permanent Crop Land"),
        ("Residential", "Residential Buildings"),
        ("River", "River"),
        ("SeaLake", "Sea or Lake"),
    ],
    "ucf101": [
        ("Hammering", "Hammering"),
        ("Hammer_Throw", "Hammer_Throw"),
        ("Handstand_Pushups", "Handstand_Pushups"),
    ],
}
"""(folder, class name) by label, where every class has a folder."""

PETS = ["Abyssinian", "american_bulldog", "Bengal", "yorkshire_terrier"]
CARS = ["2000 AM General Hummer SUV", "2012 Acura RL Sedan", "2012 Audi TTS Coupe"]
FLOWERS = ["pink primrose", "hard-leaved pocket orchid", "canterbury bells"]
AIRCRAFT = ["707-320", "Boeing 717", "F-16A/B"]

ORDER = {"oxford_flowers": (2, 0, 1), "stanford_cars": (1, 2, 0)}
"""Labels in the order in which these split files first have them; others go by label."""

Split = dict[str, list[list[Any]]]
Make = Callable[[str], CoopDataset]


def save_image(path: Path, shade: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 14), (shade % 256, 60, 120)).save(path, "JPEG")


def shrink(patch: pytest.MonkeyPatch, name: str, size: int, counts: Mapping[str, int]) -> None:
    """Set a data set's number of classes and images to those of its small root."""
    patch.setattr(KINDS[name], "size", size)
    patch.setattr(KINDS[name], "counts", dict(counts))


def make(root: Path, name: str, patch: pytest.MonkeyPatch) -> CoopDataset:
    """Write the small root of a data set and open it."""
    patch.setenv("RPPBENCH_DATA", str(root))
    home = root / KINDS[name].folder
    if name in FAMILY:
        make_folders(home, name, patch)
    elif name == "fgvc_aircraft":
        make_aircraft(home, patch)
    else:
        write_split(home, name, split_of(name), patch)
    return open_set(name)


def open_set(name: str) -> CoopDataset:
    data: CoopDataset = KINDS[name]()
    return data


def paths(name: str, label: int, split: str) -> list[tuple[str, str]]:
    """(path, class name) of the images of one class and split, in no tidy order."""
    count = {"train": TRAIN[label % 3], "val": VAL, "test": TEST}[split]
    start = {"train": 0, "val": 50, "test": 70}[split]
    numbers = [start + (7 * at) % count if count % 7 else start + at for at in range(count)]
    if name in FOLDERS:
        folder, called = FOLDERS[name][label]
        stem = "v_HandStandPushups" if folder == "Handstand_Pushups" else "image"
        return [(f"{folder}/{stem}_{number:04}.jpg", called) for number in numbers]
    if name == "oxford_pets":
        return [(f"{PETS[label]}_{number}.jpg", PETS[label].lower()) for number in numbers]
    number_of = [100 * label + number for number in numbers]
    if name == "oxford_flowers":
        return [(f"image_{number:05}.jpg", FLOWERS[label]) for number in number_of]
    folder = "cars_test" if split == "test" else "cars_train"
    return [(f"{folder}/{number:05}.jpg", CARS[label]) for number in number_of]


def split_of(name: str) -> Split:
    """The content of a split file."""
    sizes = {"oxford_pets": len(PETS), "stanford_cars": len(CARS), "oxford_flowers": len(FLOWERS)}
    size = sizes.get(name) or len(FOLDERS[name])
    return {
        split: [
            [path, label, called]
            for label in ORDER.get(name, range(size))
            for path, called in paths(name, label, split)
        ]
        for split in ("train", "val", "test")
    }


def everything(split: Any) -> list[Any]:
    """The entries of all three lists."""
    return [entry for entries in split.values() for entry in entries]


def write_split(home: Path, name: str, split: Split, patch: pytest.MonkeyPatch) -> Path:
    """A split file as Dassl writes it, the test images, and the first of train and val."""
    kind = KINDS[name]
    for entries, count in ((split["test"], None), (split["train"], 1), (split["val"], 1)):
        for at, entry in enumerate(entries[:count]):
            save_image(home / kind.images / entry[0], 10 * at)
    path: Path = home / kind.split_file
    path.write_text(json.dumps(split, indent=4, separators=(",", ": ")))
    labels = {entry[1] for entry in split["test"]}
    shrink(patch, name, len(labels), {part: len(entries) for part, entries in split.items()})
    return path


def make_aircraft(home: Path, patch: pytest.MonkeyPatch) -> None:
    home.mkdir(parents=True)
    (home / "variants.txt").write_text("".join(f"{variant}\n" for variant in AIRCRAFT))
    for number, split in enumerate(("train", "val", "test")):
        lines: list[str] = []
        for at in (2, 0, 1, 0):
            lines.append(f"{len(lines) + 10 * number:07} {AIRCRAFT[at]}")
            save_image(home / "images" / f"{lines[-1].split(' ')[0]}.jpg", 10 * at)
        (home / f"images_variant_{split}.txt").write_text("\n".join(lines) + "\n")
    shrink(patch, "fgvc_aircraft", 3, {"train": 4, "val": 4, "test": 4})


def write_names(home: Path, names: Sequence[tuple[str, str]] = ()) -> None:
    pairs = names or list(zip(WNIDS, NAMES, strict=True))
    home.mkdir(parents=True, exist_ok=True)
    (home / "classnames.txt").write_text("".join(f"{wnid} {name}\n" for wnid, name in pairs))


def make_folders(home: Path, name: str, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(imagenet_folders, "CLASSES", len(WNIDS))
    write_names(home)
    kind = KINDS[name]
    used = WNIDS[1::2] if name in ("imagenet_a", "imagenet_r") else WNIDS
    if name == "imagenetv2":
        used = [str(label) for label in range(len(WNIDS))]
    suffix = ".jpg" if name in ("imagenet_a", "imagenet_r") else ".JPEG"
    for split, top in kind.folders.items():
        for folder in used:
            for stem in ("b", "a_2", "a_10"):
                save_image(home / top / folder / f"{split}_{stem}{suffix}")
        (home / top / ".hidden").mkdir()
        (home / top / used[0] / ".hidden.jpg").write_text("no image")
        (home / top / "README.txt").write_text("not a class")
    shrink(patch, name, len(used), dict.fromkeys(kind.folders, 3 * len(used)))
