"""Masks in COCO's run-length encoding, written, and read without trust in the input.

Runs alternate between 0 and 1 and go down the columns. In files they are a list of numbers or
COCO's compressed text (cocodataset/cocoapi, common/maskApi.c: five bits per character; from the
fourth run on, each run is stored as its difference to the run two before it). That library's C code
reads beyond its arrays if a text is damaged; this module raises UsageError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rppbench.errors import UsageError

LARGEST = 2**28
"""Maximum pixels of a mask that is read; a file must not demand more memory than its image."""


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """{'size': [H, W], 'counts': text} of a mask [H, W]."""
    height, width = mask.shape
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    edges = edges[edges < mask.size]
    runs = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    return {"size": [height, width], "counts": _compressed(runs)}


def decode(rle: object, size: tuple[int, int] | None = None) -> NDArray[np.bool_]:
    """The mask [H, W] of an encoding. UsageError if it is damaged or not of `size` (H, W)."""
    (height, width), counts = _validated(rle, size)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")


def checked(rle: object, size: tuple[int, int]) -> dict[str, Any]:
    """The encoding with its runs as COCO's text, without decoding it. UsageError as in `decode`."""
    (height, width), counts = _validated(rle, size)
    return {"size": [height, width], "counts": _compressed(counts)}


def _validated(rle: object, size: tuple[int, int] | None) -> tuple[tuple[int, int], Sequence[int]]:
    """Height and width of a mask, and its runs, which add up to height * width pixels."""
    if not isinstance(rle, Mapping) or not {"size", "counts"} <= set(rle):
        raise UsageError("a mask must be {'size': [height, width], 'counts': ...}")
    given, counts = rle["size"], rle["counts"]
    integers = isinstance(given, Sequence) and all(type(side) is int for side in given)
    if not integers or len(given) != 2 or min(given) < 1 or given[0] * given[1] > LARGEST:
        raise UsageError(f"{given!r} is not the height and width of a mask")
    height, width = given
    if size is not None and (height, width) != size:
        raise UsageError(
            f"a mask of {height} x {width} pixels does not fit an image of {size[0]} x {size[1]}"
        )
    if isinstance(counts, (str, bytes)):
        counts = _decompressed(counts.encode() if isinstance(counts, str) else counts)
    elif not isinstance(counts, Sequence) or not all(type(run) is int for run in counts):
        raise UsageError("the runs of a mask are neither numbers nor COCO's text")
    # Python's integers: numpy's would wrap around.
    if any(run < 0 for run in counts) or sum(counts) != height * width:
        raise UsageError(f"the runs of a mask do not add up to {height} x {width} pixels")
    return (height, width), counts


def _compressed(runs: Sequence[int]) -> str:
    text = bytearray()
    for at, run in enumerate(runs):
        rest = run - runs[at - 2] if at > 2 else run
        more = True
        while more:
            bits, rest = rest & 31, rest >> 5
            more = rest != (-1 if bits & 16 else 0)
            text.append((bits | 32 if more else bits) + 48)
    return text.decode("ascii")


def _decompressed(text: bytes) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 40:
            raise UsageError("the text of a mask's runs is damaged")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise UsageError("the text of a mask's runs is cut short")
    return runs
