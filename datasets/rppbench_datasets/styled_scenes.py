"""The data sets `demo-2-scenes` and `demo-2-objects`: scenes of version 2 of the embedded world, in
its style, with label maps and boxes.

They are composed like those of `demo-scenes`, of drawings by the artists of their split: training
scenes show training drawings of seen classes, test scenes test drawings. Unseen classes are held
out by the vocabulary of version 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, cached_property, lru_cache

import numpy as np

from rppbench.contracts import Sample
from rppbench_datasets.scenes import PATTERNED, SIDE, VERSION, WIDTHS, Scenes, composed
from rppbench_datasets.styled import artwork_digests
from rppbench_datasets.world import render
from rppbench_datasets.world.artwork import WORLD_2, Concept, named
from rppbench_datasets.world.scenes import Scene, box
from rppbench_datasets.world.styles import STYLE, STYLES, styled

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


@cache
def _concepts() -> Sequence[Concept]:
    return named((*SEEN, *UNSEEN), WORLD_2)


@lru_cache(maxsize=512)  # as of `rppbench_datasets.scenes.scene`
def scene(key: str) -> Scene:
    """The scene of a key like 'test/17', in the style."""
    plain = composed("demo-2-scenes", key, _concepts(), len(SEEN))
    moved = STYLES[STYLE].move(plain.masks.transpose(1, 2, 0).astype(np.uint8))
    masks = np.ascontiguousarray(moved.transpose(2, 0, 1)).astype(np.bool_)
    boxes = np.array([box(mask) for mask in masks], np.int64)
    return replace(plain, image=styled(plain.image, STYLE), masks=masks, boxes=boxes)


class StyledScenes(Scenes):
    """Several things on a background, in the style; pixels outside the things are not scored."""

    name = "demo-2-scenes"
    suite = "demo-2"
    licence = "Apache-2.0, MIT, CC-BY-4.0 and CC-BY-SA-4.0 artwork; see world2"
    size = len(SEEN) + len(UNSEEN)
    seen_names = SEEN
    unseen_names = UNSEEN

    def scene(self, sample: Sample) -> Scene:
        return scene(sample.key)

    @cached_property
    def _fingerprint(self) -> str:
        facts = (
            *(VERSION, render.VERSION, self.template, self.count, SIDE, WIDTHS, PATTERNED, STYLE),
            *(self.classes, list(self.unseen()), artwork_digests()),
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


class StyledObjects(StyledScenes):
    """The same scenes as a detection data set."""

    name = "demo-2-objects"
    title = "Objects"
    role = "detection"
