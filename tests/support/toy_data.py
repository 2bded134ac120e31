"""A generated data set for tests: seven colours with noise, three images a class and split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from rppbench.contracts.dataset import Dataset, Sample
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
