"""COCO's run-length encoding against pycocotools, and what a damaged one is answered with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from rppbench.errors import UsageError
from rppbench.files import rle


def masks() -> list[Any]:
    draw = np.random.default_rng(0)
    masks = [draw.random((h, w)) < p for h, w, p in [(7, 5, 0.5), (40, 33, 0.1), (64, 64, 0.9)]]
    blob = np.zeros((480, 640), bool)
    blob[100:300, 50:600] = True
    return [*masks, blob, np.zeros((9, 4), bool), np.ones((3, 8), bool)]


@pytest.mark.parametrize("mask", masks())
def test_masks_are_written_and_read_as_pycocotools_does(mask: Any) -> None:
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = rle.encode(mask)
    assert ours == {"size": theirs["size"], "counts": theirs["counts"].decode()}
    for text in (ours, theirs, coco.encode(np.asfortranarray(mask.astype(np.uint8)))):
        assert (rle.decode(text, mask.shape) == mask).all()


def test_runs_may_be_numbers() -> None:
    mask = rle.decode({"size": [2, 3], "counts": [1, 2, 3]})
    assert mask.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (None, "must be"),
        ({"size": [2, 2]}, "must be"),
        ({"size": [2, 2, 2], "counts": [8]}, "height and width"),
        ({"size": [0, 4], "counts": []}, "height and width"),
        ({"size": [2.0, 2], "counts": [4]}, "height and width"),
        ({"size": [2**20, 2**20], "counts": [2**40]}, "height and width"),
        ({"size": [2, 2], "counts": [5]}, "add up"),
        ({"size": [2, 2], "counts": [-1, 5]}, "add up"),
        ({"size": [2, 2], "counts": [2**64, 4 - 2**64]}, "add up"),
        ({"size": [2, 2], "counts": ["4"]}, "neither"),
        ({"size": [2, 2], "counts": 4}, "neither"),
        ({"size": [2, 2], "counts": "\x01"}, "damaged"),
        ({"size": [2, 2], "counts": "o" * 4000}, "damaged"),
        ({"size": [2, 2], "counts": "o"}, "cut short"),
        ({"size": [2, 2], "counts": ""}, "add up"),
    ],
)
def test_a_damaged_mask_is_an_error_that_says_so(damaged: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rle.decode(damaged)


def test_a_mask_of_another_size_does_not_fit() -> None:
    with pytest.raises(UsageError, match="2 x 3 pixels does not fit an image of 3 x 2"):
        rle.decode({"size": [2, 3], "counts": [6]}, (3, 2))
