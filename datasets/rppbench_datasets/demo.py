"""The rendered data sets of the embedded world: a vocabulary, eleven subjects, four domain shifts.

All images are rendered from the shipped drawings. For every class one artist's drawings are
reserved for the test split, so shots and test images never show the same drawing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache, cached_property
from typing import ClassVar

from PIL import Image

from rppbench.contracts import Dataset, Sample
from rppbench_datasets.rendered import TRAIN, VAL, ConceptImages, held_out, shifted
from rppbench_datasets.world import render
from rppbench_datasets.world.artwork import COLOURED, WORLD, Concept, Drawing, concepts, digests

SUBJECTS = (
    *("animals", "plants", "dishes", "faces", "transport", "places", "clothing", "household"),
    *("media", "sports", "flags"),
)
"""Subjects that are transfer sets; people, hands and signs are in the vocabulary only."""


class Rendered(ConceptImages):
    """A data set of version 1: train and val images show drawings of the train pool."""

    suite: ClassVar[str] = "demo"
    world = WORLD
    licence: ClassVar[str] = "Apache-2.0, MIT and CC-BY-4.0 artwork; see world/licences"
    renders: ClassVar[int] = 6
    """Test images a class."""
    pool: ClassVar[str] = "test"
    """Pool of the drawings in the test split."""

    def drawings(self, concept: Concept, split: str) -> Sequence[Drawing]:
        if split == "test":
            return concept.pool(self.pool)
        return tuple(d for d in concept.pool("train") if d.vendor in COLOURED)

    def tests(self, drawings: int) -> int:
        return self.renders

    def fingerprint(self) -> str:
        facts = (
            *(render.VERSION, self.name, self.template, self.pool, self.renders, TRAIN, VAL),
            *(self.splits, self.classes, sorted(digests().items())),
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


class Vocabulary(Rendered):
    """Every concept but flags: the large source data set that prompts are pretrained on."""

    name = "demo-vocabulary"
    title = "Vocabulary"
    role = "source"
    large = True
    renders = 2

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        return tuple(c for c in concepts() if c.subject != "flags" and c.pool("test"))

    def held_out(self) -> Sequence[int]:
        return held_out(self.concepts)

    def transferred(self) -> Sequence[int]:
        """Labels of classes that are in a transfer set too."""
        return [label for label, c in enumerate(self.concepts) if c.subject in SUBJECTS]


class Subject(Rendered):
    """The concepts of one subject."""

    subject: ClassVar[str]

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        return tuple(c for c in concepts() if c.subject == self.subject and c.pool("test"))


class Animals(Subject):
    """Mammals, birds, reptiles, fish and insects."""

    name = "demo-animals"
    title = "Animals"
    subject = "animals"
    renders = 4


class Plants(Subject):
    """Plants, fruit and vegetables."""

    name = "demo-plants"
    title = "Plants"
    subject = "plants"
    renders = 6


class Dishes(Subject):
    """Food, sweets, drinks and tableware."""

    name = "demo-dishes"
    title = "Dishes"
    subject = "dishes"
    renders = 6


class Faces(Subject):
    """Smileys, cat and monkey faces, hearts and emotions."""

    name = "demo-faces"
    title = "Faces"
    subject = "faces"
    renders = 4


class Transport(Subject):
    """Vehicles on land, water and in the air."""

    name = "demo-transport"
    title = "Transport"
    subject = "transport"
    renders = 6


class Places(Subject):
    """Buildings, landscapes, sky, weather and time."""

    name = "demo-places"
    title = "Places"
    subject = "places"
    renders = 4


class Clothing(Subject):
    """Clothes, shoes, bags and jewellery."""

    name = "demo-clothing"
    title = "Clothing"
    subject = "clothing"
    renders = 8


class Household(Subject):
    """Tools, furniture, science and medicine."""

    name = "demo-household"
    title = "Household"
    subject = "household"
    renders = 6


class Media(Subject):
    """Sound, screens, books, money, mail and office things."""

    name = "demo-media"
    title = "Media"
    subject = "media"
    renders = 4


class Sports(Subject):
    """Sports, games, events and crafts."""

    name = "demo-sports"
    title = "Sports"
    subject = "sports"
    renders = 6


class Flags(Subject):
    """Flags of countries and regions: learned from Twemoji, tested on OpenMoji."""

    name = "demo-flags"
    title = "Flags"
    subject = "flags"
    renders = 3
    licence = "CC-BY-4.0 (Twemoji), CC-BY-SA-4.0 (OpenMoji)"


@cache
def _shift_concepts() -> Sequence[Concept]:
    """Concepts of the transfer sets with a drawing in each of the three test pools."""
    return shifted(
        [
            concept
            for concept in concepts()
            if concept.subject in SUBJECTS
            and all(concept.pool(pool) for pool in ("test", "rendition", "sketch"))
        ]
    )


class Shift(Rendered):
    """A domain shift: the same 200 classes of the vocabulary in other images; for testing only."""

    role = "shift"
    renders = 4
    splits = ("test",)

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        return _shift_concepts()


class Backgrounds(Shift):
    """Test drawings on high-contrast patterns instead of soft textures."""

    name = "demo-backgrounds"
    title = "Backgrounds"
    ground = "pattern"


class Rendition(Shift):
    """Drawings of a vendor that nothing was trained on."""

    name = "demo-rendition"
    title = "Rendition"
    licence = "CC-BY-SA-4.0 (OpenMoji)"
    pool = "rendition"


class Sketch(Shift):
    """Black-and-white silhouettes that nothing was trained on."""

    name = "demo-sketch"
    title = "Sketch"
    licence = "MIT (Fluent Emoji High Contrast)"
    pool = "sketch"


class Clutter(Shift):
    """Test drawings among others that hide parts of them."""

    name = "demo-clutter"
    title = "Clutter"

    def image(self, sample: Sample) -> Image.Image:
        rng = render.stream(f"{self.name}/others/{sample.key}")
        chosen = [self.concepts[at] for at in rng.permutation(len(self.concepts))[:4]]
        own = sample.key.split("/")[1]
        others = [concept.pool("test")[0] for concept in chosen if concept.id != own][:3]
        return render.cluttered(self.drawing(sample), others, f"{self.name}/{sample.key}")


SETS: tuple[type[Dataset], ...] = (
    Vocabulary,
    *(Animals, Plants, Dishes, Faces, Transport, Places, Clothing, Household, Media, Sports),
    Flags,
    Backgrounds,
    Rendition,
    Sketch,
    Clutter,
)
