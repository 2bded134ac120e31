"""An example plugin: a method, a data set and a task in a package outside of rppbench."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

from rppbench import hookimpl
from rppbench.contracts import (
    Assignment,
    Bench,
    Catalog,
    Dataset,
    Learning,
    Method,
    Option,
    Prompt,
    Prompts,
    Recipe,
    Sample,
    Score,
    Space,
    Task,
    Tower,
)

DIRECTIONS = ("horizontal", "vertical")
COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 200)}


class Opening(Method):
    """Learned vectors between the start token and the class name."""

    name = "opening"
    title = "Opening words"
    learning = Learning(
        (Recipe("opening-1", epochs=2, batch=8, lr=0.01, augment="none", shots=2, origin="none"),)
    )

    def __init__(self, space: Space, *, length: int = 2) -> None:
        super().__init__(space)
        self.context = space.normal(length, space.text_width)

    @classmethod
    def prompted_towers(cls, options: Mapping[str, Option]) -> Sequence[Tower]:
        return ("text",)

    def prompts(self) -> Prompts:
        return Prompts(Prompt(self.context))


class Stripes(Dataset):
    """Coloured stripes with noise, drawn on demand."""

    name = "stripes"
    title = "Stripes"
    suite = "example"
    role = "source"
    licence = "CC0-1.0"
    template = "a pattern of {}."

    @property
    def classes(self) -> Sequence[str]:
        return [f"{colour} {direction} stripes" for colour in COLOURS for direction in DIRECTIONS]

    def samples(self, split: str) -> Sequence[Sample]:
        return [
            Sample(f"{split}/{label}/{number}", label)
            for label in range(len(self.classes))
            for number in range(5)
        ]

    def image(self, sample: Sample) -> Image.Image:
        split, _, number = sample.key.split("/")
        colour = np.array(list(COLOURS.values())[sample.label // 2])
        dark = (np.arange(48) // 6 % 2 == 0)[:, None]
        dark = np.broadcast_to(dark if sample.label % 2 == 0 else dark.T, (48, 48))
        noise = np.random.default_rng([len(split), sample.label, int(number)])
        pixels = np.where(dark[..., None], colour // 3, colour) + noise.integers(
            -25, 25, (48, 48, 3)
        )
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

    def fingerprint(self) -> str:
        return "stripes-1"


class SameData(Task):
    """Learn on a data set's training images and score its test images."""

    name = "same-data"
    title = "Learned and scored on the same data"

    def __init__(self, *, data: str = "stripes") -> None:
        self.data = data

    def assignments(self, catalog: Catalog, method: type[Method]) -> Sequence[Assignment]:
        return [Assignment(self.data, self.data)]

    def run(self, bench: Bench) -> Iterable[Score]:
        bench.fit()
        return bench.evaluate().scores()


@hookimpl
def rppbench_methods() -> list[type[Method]]:
    return [Opening]


@hookimpl
def rppbench_datasets() -> list[type[Dataset]]:
    return [Stripes]


@hookimpl
def rppbench_tasks() -> list[type[Task]]:
    return [SameData]
