"""What the rendered data sets of both versions of the embedded world have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

from PIL import Image

from rppbench.contracts import Dataset, Sample
from rppbench.errors import unknown
from rppbench_datasets.world import render
from rppbench_datasets.world.artwork import Concept, Drawing, concepts, fraction

TRAIN, VAL = 16, 4
"""Images a class in the train and val splits."""

SHIFTED = 200
"""Number of classes of the domain-shift sets."""


@cache
def _drawings(world: Path) -> dict[tuple[str, str], Drawing]:
    """All drawings of a world by concept id and vendor."""
    return {(c.id, drawing.vendor): drawing for c in concepts(world) for drawing in c.drawings}


class ConceptImages(Dataset):
    """A data set of the world: its classes are concepts, its images are rendered on demand."""

    generated = True
    unit = "drawing"
    origin: ClassVar[str] = "npm: @iconify-json, emojibase-data; see datasets/world/README.md"
    world: ClassVar[Path]
    """Folder of the drawings."""
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    ground: ClassVar[str] = "texture"
    """What a drawing is shown on, as in `render.single`."""

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        """The concept of every label."""
        raise NotImplementedError

    @property
    def classes(self) -> Sequence[str]:
        return tuple(concept.name for concept in self.concepts)

    def drawings(self, concept: Concept, split: str) -> Sequence[Drawing]:
        """The drawings that the images of a split show in turn."""
        raise NotImplementedError

    def tests(self, drawings: int) -> int:
        """Number of test images of a class with so many test drawings."""
        raise NotImplementedError

    def samples(self, split: str) -> Sequence[Sample]:
        if split not in self.splits:
            raise unknown(f"split of {self.name} is named", split, self.splits, "splits")
        samples = []
        for label, concept in enumerate(self.concepts):
            vendors = [drawing.vendor for drawing in self.drawings(concept, split)]
            count = {"train": TRAIN, "val": VAL, "test": self.tests(len(vendors))}[split]
            samples += [
                Sample(f"{split}/{concept.id}/{vendors[n % len(vendors)]}/{n}", label)
                for n in range(count)
            ]
        return samples

    def image(self, sample: Sample) -> Image.Image:
        return render.single(self.drawing(sample), f"{self.name}/{sample.key}", self.ground)

    def drawing(self, sample: Sample) -> Drawing:
        """The drawing that the image of a sample shows."""
        _, concept, vendor, _ = sample.key.split("/")
        return _drawings(self.world)[concept, vendor]

    def group(self, sample: Sample) -> str:
        """All renders of one drawing are a group."""
        return self.drawing(sample).key


def held_out(vocabulary: Sequence[Concept]) -> list[int]:
    """Labels of a fifth of the concepts, chosen by a fixed hash."""
    return [
        label for label, concept in enumerate(vocabulary) if fraction("held out", concept.id) < 0.2
    ]


def shifted(candidates: Sequence[Concept]) -> Sequence[Concept]:
    """`SHIFTED` of the candidates, chosen by a fixed hash, in their order."""
    chosen = {c.id for c in sorted(candidates, key=lambda c: fraction("shift", c.id))[:SHIFTED]}
    return tuple(concept for concept in candidates if concept.id in chosen)
