"""The role of each drawing of the world: 'train', 'val' or 'test'.

Roles go by artist, so that what is learned cannot be a drawing. The backbone `demo` saw none of the
new artists, and of the others only drawings of the pool 'train' (`concepts.pools`).

| artist | role |
|---|---|
| Emoji One 2 | train |
| Streamline | train; val where neither Firefox OS nor Emoji One 1 drew the concept |
| Firefox OS | val; train where only Emoji One 1 drew the concept too |
| Emoji One 1 | test; val where validation would have no drawing |
| held out by `concepts.pools` | test |

A concept takes part if each role has a drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TRAINING = ("emojione", "streamline", "streamline-b")
"""Vendors of drawings to learn on."""

THUMB = 18
"""Side of the images on white that near-duplicates are told by, in pixels."""

SAME = 0.95
"""Two drawings of a concept whose thumbs correlate above this are near-duplicates."""

SIDES = ("backbone", "test", "val", "train")
"""Of two near-duplicates on two sides, the one on the later side is left out."""


def assign(drawn: set[str]) -> dict[str, str]:
    """New vendor -> role, of those that drew a concept; {} if they leave a role empty."""
    learned = [vendor for vendor in TRAINING if vendor in drawn]
    old, fox = "emojione-v1" in drawn, "fxemoji" in drawn
    if old and fox and learned:
        roles = {"fxemoji": "val", "emojione-v1": "test"}
    elif old and (fox or learned):
        roles = {"emojione-v1": "val"}
        learned += ["fxemoji"] if fox else []
    elif fox and learned:
        roles = {"fxemoji": "val"}
    elif "emojione" in drawn and len(learned) > 1:
        roles = {"streamline": "val", "streamline-b": "val"}
        learned = ["emojione"]
    else:
        return {}
    roles = {vendor: role for vendor, role in roles.items() if vendor in drawn}
    return {**roles, **dict.fromkeys(learned, "train")}


def thumb(drawing: Image.Image) -> NDArray[np.float32]:
    """A drawing (RGBA) on white, reduced, as a centred unit vector: products are correlations."""
    pixels = np.asarray(drawing, np.float32)
    cover = pixels[..., 3:] / 255
    flat = pixels[..., :3] * cover + 255 * (1 - cover)
    small = Image.fromarray(flat.astype(np.uint8)).resize((THUMB, THUMB), Image.Resampling.BOX)
    vector = np.asarray(small, np.float32).ravel()
    vector = vector - vector.mean()
    return vector / (np.linalg.norm(vector) + np.float32(1e-9))


def distinct(
    sides: Mapping[str, str], thumbs: Mapping[str, NDArray[np.float32]]
) -> tuple[list[str], list[tuple[str, str]]]:
    """The drawings of a concept that stay, and the pairs that were near-duplicates.

    `sides` holds the side of each drawing. A pair is (left out, the one that it resembles).
    """
    kept: list[str] = []
    left_out: list[tuple[str, str]] = []
    for side in SIDES:
        others: Sequence[str] = tuple(kept)
        for name in sides:
            if sides[name] != side:
                continue
            near = [o for o in others if float(thumbs[name] @ thumbs[o]) > SAME]
            if near:
                left_out.append((name, near[0]))
            else:
                kept.append(name)
    return kept, left_out
