"""The data sets `demo-2-scenes` and `demo-2-objects`: scenes of the embedded world with label maps
and boxes.

A scene is one to five drawings on a soft texture or a high-contrast pattern, later ones on top, so
parts of some are hidden; all of it is in the style of the world. Training scenes show training
drawings of seen classes, test scenes test drawings. Unseen classes are concepts that the vocabulary
holds out, so prompts that were learned on it never saw them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts import IGNORED, UNLABELLED, DetectionSet, Instance, Sample, SegmentationSet
from rppbench.errors import unknown
from rppbench_datasets.demo import LICENCE, ORIGIN, artwork_digests
from rppbench_datasets.world import render
from rppbench_datasets.world.artwork import Concept, named
from rppbench_datasets.world.scenes import Scene, box, compose
from rppbench_datasets.world.styles import STYLE, STYLES, styled

VERSION = 1
"""Increased when the same key would give another scene."""

SEEN = (
    *("cat", "dog", "horse", "elephant", "tiger", "fish", "frog", "penguin", "honeybee", "snake"),
    *("sunflower", "cactus", "mushroom", "strawberry", "red apple", "grapes", "tomato", "lemon"),
    *("pizza", "hamburger", "doughnut", "ice cream", "birthday cake", "hot beverage"),
    *("automobile", "bus", "bicycle", "motorcycle", "sailboat", "helicopter", "rocket", "tractor"),
    *("house", "castle", "tent", "umbrella", "t-shirt", "backpack", "running shoe", "top hat"),
    *("telescope", "hammer", "bed", "books", "soccer ball"),
)
"""Classes from the part of the vocabulary that prompts are learned on."""

UNSEEN = (
    *("rabbit", "baby chick", "turtle", "banana", "watermelon", "pear", "pineapple", "hot pepper"),
    *("wine glass", "airplane", "delivery truck", "guitar", "camera", "snowman", "crown"),
)
"""Classes that the vocabulary holds out."""

COUNT = 400
"""Scenes of a split."""

SIDE = 144
"""Pixels a side."""

WIDTHS = (30.0, 96.0)
"""Smallest and largest longer side of a thing in pixels, before others hide parts of it."""

PATTERNED = 0.3
"""Share of scenes on stripes, checks, dots or gradients."""


@cache
def _concepts() -> Sequence[Concept]:
    return named((*SEEN, *UNSEEN))


@lru_cache(maxsize=512)  # keeps a split for the next method: 0.2 MB and 35 ms a scene
def scene(key: str) -> Scene:
    """The scene of a key like 'test/17', in the style."""
    plain = composed("demo-2-scenes", key, _concepts(), len(SEEN))
    moved = STYLES[STYLE].move(plain.masks.transpose(1, 2, 0).astype(np.uint8))
    masks = np.ascontiguousarray(moved.transpose(2, 0, 1)).astype(np.bool_)
    boxes = np.array([box(mask) for mask in masks], np.int64)
    return replace(plain, image=styled(plain.image, STYLE), masks=masks, boxes=boxes)


def composed(stream: str, key: str, things: Sequence[Concept], seen: int) -> Scene:
    """The scene that a key stands for, in no style; `stream` names its random stream.

    Training scenes hold the first `seen` things only: those of seen classes.
    """
    split, _, _ = key.partition("/")
    rng = render.stream(f"{stream}/{key}")
    background = render.pattern if rng.random() < PATTERNED else render.texture
    admitted = things if split == "test" else things[:seen]
    return compose(rng, background(rng, SIDE), admitted, split, WIDTHS)


class Scenes(SegmentationSet, DetectionSet):
    """Several things on a background, in the style; pixels outside the things are not scored."""

    name = "demo-2-scenes"
    title = "Scenes"
    suite = "demo-2"
    role = "segmentation"
    generated = True
    licence = LICENCE
    origin = ORIGIN
    size = len(SEEN) + len(UNSEEN)
    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    count: ClassVar[int] = COUNT

    @property
    def classes(self) -> Sequence[str]:
        return (*SEEN, *UNSEEN)

    def unseen(self) -> Sequence[int]:
        return range(len(SEEN), len(self.classes))

    def samples(self, split: str) -> Sequence[Sample]:
        if split not in self.splits:
            raise unknown(f"split of {self.name} is named", split, self.splits, "splits")
        return [Sample(f"{split}/{number}", UNLABELLED) for number in range(self.count)]

    def stem(self, sample: Sample) -> str:
        """File name without ending that `export-coco` uses."""
        return sample.key.rpartition("/")[2].zfill(6)

    def image(self, sample: Sample) -> Image.Image:
        return scene(sample.key).image

    def shape(self, sample: Sample) -> tuple[int, int]:
        return SIDE, SIDE

    def label_map(self, sample: Sample) -> NDArray[np.uint16]:
        shown = scene(sample.key)
        labels = np.full(shown.masks.shape[1:], IGNORED, np.uint16)
        for mask, label in zip(shown.masks, shown.labels, strict=True):
            labels[mask] = label
        return labels

    def instances(self, sample: Sample) -> Sequence[Instance]:
        """The visible things, from back to front; a thing that others cut in two is still one."""
        shown = scene(sample.key)
        return [
            Instance(label, (left, top, right - left, bottom - top), mask)
            for label, (left, top, right, bottom), mask in zip(
                shown.labels, shown.boxes.tolist(), shown.masks, strict=True
            )
        ]

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        facts = (
            *(VERSION, render.VERSION, self.template, self.count, SIDE, WIDTHS, PATTERNED, STYLE),
            *(self.classes, list(self.unseen()), artwork_digests()),
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


class Objects(Scenes):
    """The same scenes as a detection data set."""

    name = "demo-2-objects"
    title = "Objects"
    role = "detection"
