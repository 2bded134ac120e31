"""Generated data sets for tests: seven colours with noise, three images a class and split; and
two squares on grey, with boxes or label maps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.regions import IGNORED, UNLABELLED, DetectionSet, Instance, SegmentationSet
from rppbench.errors import UsageError

COLOURS = {
    "red square": (200, 40, 40),
    "green field": (40, 180, 60),
    "blue lake": (40, 60, 200),
    "yellow sun": (220, 210, 40),
    "grey stone": (120, 120, 120),
    "white snow": (240, 240, 240),
    "black cat": (10, 10, 10),
}


class Toy(Dataset):
    """Seven colours with noise; the last two classes are held out."""

    name = "toy"
    title = "Toy"
    suite = "toy"
    role = "source"
    images_a_class = 3
    generated = True

    def __init__(self) -> None:
        self.opened: list[str] = []

    @property
    def classes(self) -> Sequence[str]:
        return list(COLOURS)

    def samples(self, split: str) -> Sequence[Sample]:
        if split not in ("train", "val", "test"):
            raise UsageError(f"no split is named {split!r}")
        return [
            Sample(f"{split}/{label}/{index}", label)
            for label in range(len(COLOURS))
            for index in range(self.images_a_class)
        ]

    def image(self, sample: Sample) -> Image.Image:
        self.opened.append(sample.key)
        seed = int.from_bytes(hashlib.sha256(sample.key.encode()).digest()[:8], "big")
        noise = np.random.default_rng(seed).integers(-30, 30, (40, 36, 3))
        # The sample's label may be an index into chosen classes.
        label = int(sample.key.split("/")[1])
        colour = np.array(list(COLOURS.values())[label])
        return Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8))

    def fingerprint(self) -> str:
        return f"toy-{self.images_a_class}"

    def held_out(self) -> Sequence[int]:
        return (5, 6)


class WithoutVal(Toy):
    """It has no validation images, as ImageNet."""

    def samples(self, split: str) -> Sequence[Sample]:
        if split == "val":
            raise UsageError("no split is named 'val'")
        return super().samples(split)


PLACES = [(4, 6, 16, 12), (30, 8, 12, 20)]
"""Boxes of each image's two objects."""


class Things(DetectionSet):
    """Two squares on grey, never a 'green field'; ids of images and classes have gaps."""

    name, title, suite, role = "toy-things", "Things", "toy", "detection"
    colours = {"red square": (200, 40, 40), "blue lake": (40, 60, 200), "green field": (0, 90, 0)}
    pixels = (60, 40)
    size = len(colours)
    count = 3

    @property
    def classes(self) -> Sequence[str]:
        return list(self.colours)

    def unseen(self) -> Sequence[int]:
        return (1,)

    def samples(self, split: str) -> Sequence[Sample]:
        return [Sample(f"{split}/{number}", UNLABELLED) for number in range(self.count)]

    def boxes(self) -> list[tuple[int, ...]]:
        return [tuple(edge * self.pixels[0] // 60 for edge in place) for place in PLACES]

    def image(self, sample: Sample) -> Image.Image:
        image = Image.new("RGB", self.pixels, (128, 128, 128))
        for (x, y, width, height), colour in zip(self.boxes(), self.colours.values(), strict=False):
            image.paste(colour, (x, y, x + width, y + height))
        return image

    def instances(self, sample: Sample) -> Sequence[Instance]:
        return [Instance(label, tuple(box)) for label, box in enumerate(self.boxes())]  # type: ignore[arg-type]

    def fingerprint(self) -> str:
        return f"things-{self.pixels}"

    def image_ids(self, split: str) -> Sequence[int]:
        return range(7, 7 + 5 * self.count, 5)

    def category_ids(self) -> Sequence[int]:
        return (2, 9, 90)


class Maps(SegmentationSet, Things):
    """The same pictures, with a map of labels for each."""

    name, role = "toy-maps", "segmentation"

    def label_map(self, sample: Sample) -> Any:
        labels = np.full(self.pixels[::-1], IGNORED, np.uint16)
        for label, (x, y, width, height) in enumerate(self.boxes()):
            labels[y : y + height, x : x + width] = label
        return labels
