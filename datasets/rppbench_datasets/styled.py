"""Version 2 of the rendered data sets: drawings by unseen artists, in a style of their own.

Learning images show drawings by artists that the backbone `demo` never saw, validation and test
images other drawings by other artists, all in one style that it never saw (`styles.STYLE`). What
can be learned here is the style: no drawing that was learned from is scored. The shift sets show
the test drawings as they are and in other styles.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache, cached_property
from typing import ClassVar

from PIL import Image

from rppbench.contracts import Sample
from rppbench_datasets.rendered import TRAIN, VAL, ConceptImages, held_out, shifted
from rppbench_datasets.world import render
from rppbench_datasets.world.artwork import WORLD_2, Concept, Drawing, concepts, digests
from rppbench_datasets.world.styles import OTHERS, PLAIN, STYLE, styled


class Styled(ConceptImages):
    """A data set of version 2: each split has drawings of its own, and all are in a style."""

    suite: ClassVar[str] = "demo-2"
    world = WORLD_2
    licence: ClassVar[str] = "Apache-2.0, MIT, CC-BY-4.0 and CC-BY-SA-4.0 artwork; see world2"
    renders: ClassVar[int] = 4
    """Test images a drawing; most classes have two test drawings."""
    style: ClassVar[str] = STYLE

    def drawings(self, concept: Concept, split: str) -> Sequence[Drawing]:
        return concept.pool(split)

    def tests(self, drawings: int) -> int:
        return self.renders * drawings

    def image(self, sample: Sample) -> Image.Image:
        return styled(super().image(sample), self.style)

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
        for name, digest in digests(WORLD_2).items()
        if name.endswith(".webp") or name == "concepts.json"
    )


class Vocabulary(Styled):
    """Every concept: the large source data set that prompts are pretrained on."""

    name = "demo-2-vocabulary"
    title = "Vocabulary"
    role = "source"
    large = True
    renders = 1

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        return concepts(WORLD_2)

    def held_out(self) -> Sequence[int]:
        return held_out(self.concepts)

    def transferred(self) -> Sequence[int]:
        """Labels of classes that are in a transfer set too."""
        subjects = {kind.subject for kind in SUBJECTS}
        return [label for label, c in enumerate(self.concepts) if c.subject in subjects]


class Subject(Styled):
    """The concepts of one subject; people, hands and signs are in the vocabulary only."""

    subject: ClassVar[str]

    @cached_property
    def concepts(self) -> Sequence[Concept]:
        return tuple(c for c in concepts(WORLD_2) if c.subject == self.subject)


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
    """Concepts of the transfer sets."""
    subjects = {kind.subject for kind in SUBJECTS}
    return shifted([concept for concept in concepts(WORLD_2) if concept.subject in subjects])


class Shift(Styled):
    """A domain shift: test drawings of 200 classes in other images; for testing only."""

    role = "shift"
    renders = 2
    splits = ("test",)

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
    """Test drawings on high-contrast patterns, in the style that was learned."""

    name, title, ground = "demo-2-backgrounds", "Backgrounds", "pattern"


SETS: tuple[type[Styled], ...] = (
    Vocabulary,
    *SUBJECTS,
    *(Plain, OtherStyle, ThirdStyle, Backgrounds),
)
