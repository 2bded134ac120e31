"""Small copies of data sets in the files that torchvision reads: a few random images each."""

from __future__ import annotations

import csv
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from rppbench import torchvision_shim  # noqa: F401  before torchvision
from rppbench_datasets import clip_benchmark
from rppbench_datasets.clip_benchmark.torchvision_images import TorchvisionImages

from torchvision import datasets as readers  # isort: skip

KINDS: dict[str, type[TorchvisionImages]] = {kind.name: kind for kind in clip_benchmark.SETS}
MADE = [name for name in KINDS if name != "pcam"]  # its files need h5py, which tests do without
EACH = {"train": 2, "val": 1, "test": 1}
"""Images of each class."""


def make(root: Path, name: str, patch: pytest.MonkeyPatch) -> None:
    """Write a small copy below a data root; checksums of the complete copy do not count."""
    kind = KINDS[name]
    size = len(kind.names)
    patch.setattr(kind, "counts", {split: EACH[split] * size for split in kind.splits})
    patch.setenv("RPPBENCH_DATA", str(root))
    if hasattr(getattr(readers, kind.reader), "_check_integrity"):
        patch.setattr(getattr(readers, kind.reader), "_check_integrity", lambda self: True)
    place = root / name
    for split in kind.splits:
        labels = [label for label in range(size) for _ in range(EACH[split])]
        MAKERS[name](place, split, labels, patch)


def pixels(count: int, side: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(count + side).integers(
        0, 256, (count, side, side, channels), np.uint8
    )


def cifar(place: Path, split: str, labels: list[int], patch: pytest.MonkeyPatch) -> None:
    kind = KINDS[place.name]
    reader = getattr(readers, kind.reader)
    folder = place / kind.holds
    folder.mkdir(parents=True, exist_ok=True)
    patch.setattr(reader, "_load_meta", lambda self: setattr(self, "class_to_idx", kind.names))
    for file, _ in reader.train_list if split == "train" else reader.test_list:
        part = [] if split == "train" and file[-1] in "2345" else labels
        data = pixels(len(part), 32).reshape(len(part), 3072)
        key = "labels" if place.name == "cifar10" else "fine_labels"
        (folder / file).write_bytes(pickle.dumps({"data": data, key: part}))


def mnist(place: Path, split: str, labels: list[int], patch: pytest.MonkeyPatch) -> None:
    folder, head = place / "MNIST/raw", "train" if split == "train" else "t10k"
    folder.mkdir(parents=True, exist_ok=True)
    count = len(labels)
    images = struct.pack(">IIII", 2051, count, 28, 28) + pixels(count, 28, 1).tobytes()
    (folder / f"{head}-images-idx3-ubyte").write_bytes(images)
    numbers = struct.pack(">II", 2049, count) + bytes(labels)
    (folder / f"{head}-labels-idx1-ubyte").write_bytes(numbers)


def stl10(place: Path, split: str, labels: list[int], patch: pytest.MonkeyPatch) -> None:
    folder = place / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}_X.bin").write_bytes(pixels(len(labels), 96).tobytes())
    (folder / f"{split}_y.bin").write_bytes(bytes(label + 1 for label in labels))
    (folder / "class_names.txt").write_text("\n".join(KINDS["stl10"].names))


def svhn(place: Path, split: str, labels: list[int], patch: pytest.MonkeyPatch) -> None:
    place.mkdir(parents=True, exist_ok=True)
    images = pixels(len(labels), 32).transpose(1, 2, 3, 0)
    numbers = np.array([[label or 10] for label in labels], np.uint8)
    scipy.io.savemat(place / f"{split}_32x32.mat", {"X": images, "y": numbers})


def fer2013(place: Path, split: str, labels: list[int], patch: pytest.MonkeyPatch) -> None:
    folder = place / "fer2013"
    folder.mkdir(parents=True, exist_ok=True)
    digest = {"fer": ("fer2013.csv", None), "icml": ("icml_face_data.csv", None)}
    patch.setattr(readers.FER2013, "_RESOURCES", digest)
    path = folder / "fer2013.csv"
    head = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.writer(file)
        if head:
            writer.writerow(["emotion", "pixels", "Usage"])
        for label, image in zip(labels, pixels(len(labels), 48, 1), strict=True):
            usage = "Training" if split == "train" else "PublicTest"
            writer.writerow([label, " ".join(map(str, image.ravel())), usage])


def gtsrb(place: Path, split: str, labels: list[int], patch: pytest.MonkeyPatch) -> None:
    base = place / "gtsrb"
    rows = []
    for at, label in enumerate(labels):
        folder = (
            base / "GTSRB" / (f"Training/{label:05}" if split == "train" else "Final_Test/Images")
        )
        save(folder / f"{at:05}.ppm", at)
        rows.append([f"{at:05}.ppm", label])
    if split == "test":
        lines = ["Filename;ClassId", *(f"{name};{label}" for name, label in rows)]
        (base / "GT-final_test.csv").write_text("\n".join(lines))


def folders(place: Path, split: str, labels: list[int], patch: pytest.MonkeyPatch) -> None:
    kind = KINDS[place.name]
    part = "valid" if split == "val" else split
    for at, label in enumerate(labels):
        name = kind.names[label] if place.name == "rendered-sst2" else f"C{label:03}"
        save(place / kind.holds / part / name / f"{at}.png", at)


def save(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 14), (shade % 256, 60, 120)).save(path)


MAKERS = {
    "cifar10": cifar,
    "cifar100": cifar,
    "country211": folders,
    "fer2013": fer2013,
    "gtsrb": gtsrb,
    "mnist": mnist,
    "rendered-sst2": folders,
    "stl10": stl10,
    "svhn": svhn,
}
