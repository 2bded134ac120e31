"""The data sets of the embedded world: a vocabulary, ten subjects, four domain shifts.

All images are rendered from the shipped drawings, none of which the backbone `demo` saw. For each
thing, those that are learned from, validated on and tested on are from different emoji sets, all in
one style that the backbone never saw (`styles.STYLE`). What can be learned here is the style: no
drawing that was learned from is scored. The shift sets show the test drawings as they are and in
other styles. The suite is `demo-2`: its results are comparable with no others, also not with those
of an earlier `demo`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache, cached_property
from typing import ClassVar

from PIL import Image

from rppbench.contracts import Dataset, Sample
from rppbench.errors import unknown
from rppbench_datasets.world import render
from rppbench_datasets.world.artwork import Concept, Drawing, concepts, digests, fraction
from rppbench_datasets.world.styles import OTHERS, PLAIN, STYLE, styled

TRAIN, VAL = 16, 4
"""Images a class in the train and val splits."""

SHIFTED = 200
"""Number of classes of the domain-shift sets."""

LICENCE = "Apache-2.0, MIT, CC-BY-4.0 and CC-BY-SA-4.0 artwork; see world/licences"

ORIGIN = "npm: @iconify-json, emojibase-data; see datasets/world/README.md"


@cache
def _drawings() -> dict[tuple[str, str], Drawing]:
    """All drawings by concept id and vendor."""
    return {(c.id, drawing.vendor): drawing for c in concepts() for drawing in c.drawings}


class Rendered(Dataset):
    """Its classes are concepts, its images are rendered on demand, and all are in a style."""

    suite: ClassVar[str] = "demo-2"
    generated = True
    unit = "drawing"
    licence: ClassVar[str] = LICENCE
    origin: ClassVar[str] = ORIGIN
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    renders: ClassVar[int] = 4
    """Test images a drawing; most classes have two test drawings."""
    ground: ClassVar[str] = "texture"
    """What a drawing is shown on, as in `render.single`."""
    style: ClassVar[str] = STYLE

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        """The concept of every label."""
        raise NotImplementedError

    @property
    def classes(self) -> Sequence[str]:
        return tuple(concept.name for concept in self.concepts)

    def samples(self, split: str) -> Sequence[Sample]:
        """Images show the drawings of their split in turn."""
        if split not in self.splits:
            raise unknown(f"split of {self.name} is named", split, self.splits, "splits")
        samples = []
        for label, concept in enumerate(self.concepts):
            vendors = [drawing.vendor for drawing in concept.pool(split)]
            count = {"train": TRAIN, "val": VAL, "test": self.renders * len(vendors)}[split]
            samples += [
                Sample(f"{split}/{concept.id}/{vendors[n % len(vendors)]}/{n}", label)
                for n in range(count)
            ]
        return samples

    def image(self, sample: Sample) -> Image.Image:
        plain = render.single(self.drawing(sample), f"{self.name}/{sample.key}", self.ground)
        return styled(plain, self.style)

    def drawing(self, sample: Sample) -> Drawing:
        """The drawing that the image of a sample shows."""
        _, concept, vendor, _ = sample.key.split("/")
        return _drawings()[concept, vendor]

    def group(self, sample: Sample) -> str:
        """All renders of one drawing are a group."""
        return self.drawing(sample).key

    def fingerprint(self) -> str:
        facts = (
            *(render.VERSION, self.name, self.template, self.style, self.renders, TRAIN, VAL),
            *(self.splits, self.classes, artwork_digests()),
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def artwork_digests() -> list[tuple[str, str]]:
    """Digests of the files that images are made from."""
    return sorted(
        (name, digest)
        for name, digest in digests().items()
        if name.endswith(".webp") or name == "concepts.json"
    )


class Vocabulary(Rendered):
    """Every concept: the large source data set that prompts are pretrained on."""

    name = "demo-2-vocabulary"
    title = "Vocabulary"
    role = "source"
    large = True
    renders = 1

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        return concepts()

    def held_out(self) -> Sequence[int]:
        """A fifth of the concepts, chosen by a fixed hash."""
        return [label for label, c in enumerate(self.concepts) if fraction("held out", c.id) < 0.2]

    def transferred(self) -> Sequence[int]:
        """Labels of classes that are in a transfer set too."""
        subjects = {kind.subject for kind in SUBJECTS}
        return [label for label, c in enumerate(self.concepts) if c.subject in subjects]


class Subject(Rendered):
    """The concepts of one subject; people, hands and signs are in the vocabulary only."""

    subject: ClassVar[str]

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        return tuple(c for c in concepts() if c.subject == self.subject)


class Animals(Subject):
    """Mammals, birds, reptiles, fish and insects."""

    name, title, subject = "demo-2-animals", "Animals", "animals"


class Plants(Subject):
    """Plants, fruit and vegetables."""

    name, title, subject = "demo-2-plants", "Plants", "plants"


class Dishes(Subject):
    """Food, sweets, drinks and tableware."""

    name, title, subject = "demo-2-dishes", "Dishes", "dishes"


class Faces(Subject):
    """Smileys, cat and monkey faces, hearts and emotions."""

    name, title, subject = "demo-2-faces", "Faces", "faces"


class Transport(Subject):
    """Vehicles on land, water and in the air."""

    name, title, subject = "demo-2-transport", "Transport", "transport"


class Places(Subject):
    """Buildings, landscapes, sky, weather and time."""

    name, title, subject = "demo-2-places", "Places", "places"


class Clothing(Subject):
    """Clothes, shoes, bags and jewellery."""

    name, title, subject = "demo-2-clothing", "Clothing", "clothing"


class Household(Subject):
    """Tools, furniture, science and medicine."""

    name, title, subject = "demo-2-household", "Household", "household"


class Media(Subject):
    """Sound, screens, books, money, mail and office things."""

    name, title, subject = "demo-2-media", "Media", "media"


class Sports(Subject):
    """Sports, games, events and crafts."""

    name, title, subject = "demo-2-sports", "Sports", "sports"


SUBJECTS: tuple[type[Subject], ...] = (
    *(Animals, Plants, Dishes, Faces, Transport, Places, Clothing, Household, Media, Sports),
)


@cache
def _shift_concepts() -> Sequence[Concept]:
    """`SHIFTED` concepts of the transfer sets, chosen by a fixed hash, in their order."""
    subjects = {kind.subject for kind in SUBJECTS}
    candidates = [concept for concept in concepts() if concept.subject in subjects]
    chosen = {c.id for c in sorted(candidates, key=lambda c: fraction("shift", c.id))[:SHIFTED]}
    return tuple(concept for concept in candidates if concept.id in chosen)


class Shift(Rendered):
    """A domain shift: test drawings of 200 classes in other images; for testing only."""

    role = "shift"
    renders = 2
    splits = ("test",)
    group_space = "demo-2 drawings"  # all four show the same ones

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        return _shift_concepts()


class Plain(Shift):
    """Test drawings as they are, in no style: what the backbone was trained for."""

    name, title, style = "demo-2-plain", "Plain", PLAIN


class OtherStyle(Shift):
    """Test drawings in the first of the other styles."""

    name, title, style = "demo-2-style-b", "Style B", OTHERS[0]


class ThirdStyle(Shift):
    """Test drawings in the second of the other styles."""

    name, title, style = "demo-2-style-c", "Style C", OTHERS[1]


class Backgrounds(Shift):
    """Test drawings on high-contrast patterns, in the style that is learned."""

    name, title, ground = "demo-2-backgrounds", "Backgrounds", "pattern"


SETS: tuple[type[Rendered], ...] = (
    Vocabulary,
    *SUBJECTS,
    *(Plain, OtherStyle, ThirdStyle, Backgrounds),
)
