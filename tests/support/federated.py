"""A random file of LVIS with detections of it: `PYTHONPATH=tests python -m support.federated DIR`.

The command writes both as JSON, for other programs to score. All numbers come from
`random.Random.random`, which gives the same ones in every version of Python, so that their results
can be kept as constants.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rppbench.files import rle
from rppbench_datasets.vocabularies import table

IDS = (907, 15, 444, 3, 720, 88, 301, 512, 66, 999, 250, 131)
"""Of the images, in the order of the file: where scores are equal, the lower id counts first."""
CROWDED, EMPTY, UNJUDGED = 0, 10, 11
"""Positions of an image with more detections than count; of one without instances; of one with.
The detections of the last two are all of classes that these images were not annotated for."""
GROUP = 5
"""Classes of each frequency."""

Entry = dict[str, Any]


class Draws:
    """Random whole numbers, boxes and masks."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed).random

    def below(self, limit: int) -> int:
        return int(self.random() * limit)

    def sometimes(self, share: float) -> bool:
        return self.random() < share

    def one_of(self, things: Any) -> Any:
        return things[self.below(len(things))]

    def box(self, height: int, width: int) -> list[float]:
        """A small, medium or large box; quarters of pixels are exact in single precision."""
        low, high = self.one_of(((8, 30), (34, 90), (98, 140)))
        w, h = (low + self.below(4 * (high - low)) / 4 for _ in range(2))
        return [self.below(4 * int(width - w)) / 4, self.below(4 * int(height - h)) / 4, w, h]

    def near(self, box: list[float], height: int, width: int) -> list[float]:
        """The box, moved and scaled a little."""
        x, y, w, h = box
        w, h = (max(4, edge + self.below(int(edge)) / 4 - int(edge) / 8) for edge in (w, h))
        x, y = (max(0, start + self.below(33) / 4 - 4) for start in (x, y))
        return [x, y, min(w, width - x), min(h, height - y)]

    def outline(self, box: list[float]) -> tuple[int, int, int, int, int]:
        """A box of whole pixels, x, y, right and bottom, and how much of its corners is cut off."""
        x, y, w, h = box
        left, top, right, bottom = int(x), int(y), int(x + w), int(y + h)
        return left, top, right, bottom, self.below(max(1, min(right - left, bottom - top) // 2))


def octagon(outline: tuple[int, int, int, int, int], height: int, width: int) -> NDArray[np.bool_]:
    """The mask (height, width) of a box without its corners."""
    left, top, right, bottom, corner = outline
    mask = np.zeros((height, width), bool)
    for x in range(left, right):
        cut = max(0, corner - min(x - left, right - 1 - x))
        mask[top + cut : bottom - cut, x] = True
    return mask


def polygon(outline: tuple[int, int, int, int, int]) -> list[list[float]]:
    left, top, right, bottom, c = outline
    points = [(left + c, top), (right - c, top), (right, top + c), (right, bottom - c)]
    points += [(right - c, bottom), (left + c, bottom), (left, bottom - c), (left, top + c)]
    return [[float(edge) for point in points for edge in point]]


def categories() -> list[Entry]:
    """All categories of LVIS."""
    return [
        {"id": int(number), "name": name, "frequency": group}
        for number, name, group in table("lvis")
    ]


def used_categories() -> list[int]:
    """Ids of the first classes of each frequency, in turn."""
    of = {letter: [c["id"] for c in categories() if c["frequency"] == letter] for letter in "rcf"}
    return [of[letter][at] for at in range(GROUP) for letter in "rcf"]


def federated(seed: int = 0) -> tuple[dict[str, list[Entry]], list[Entry]]:
    """The content of an annotation file, and of a file of detections with boxes and masks.

    Scores are multiples of 1/32, so that many are equal. Some detections have an empty mask, others
    a box without area, and an instance has the area 0: lvis-api leaves out all of them.
    """
    draws = Draws(seed)
    used = used_categories()
    images: list[Entry] = []
    annotations: list[Entry] = []
    detections: list[Entry] = []
    for at, number in enumerate(IDS):
        height, width = draws.one_of(((150, 200), (180, 160), (160, 160)))
        boxes: list[tuple[int, list[float]]] = []
        for _ in range(0 if at == EMPTY else 3 + draws.below(5)):
            category = draws.one_of(used[:12])  # no instance has one of the others
            boxes.append((category, draws.box(height, width)))
            outline = draws.outline(boxes[-1][1])
            mask = octagon(outline, height, width)
            stored = polygon(outline) if draws.sometimes(0.5) else rle.encode(mask)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "bbox": boxes[-1][1],
                    "area": 0 if len(annotations) == 7 else int(mask.sum()),
                    "segmentation": stored,
                }
            )
        present = sorted({category for category, _ in boxes})
        absent = [one for one in used if one not in present and draws.sometimes(0.3)]
        images.append(
            {
                "id": number,
                "height": height,
                "width": width,
                "coco_url": f"http://images.cocodataset.org/val2017/{at:012}.jpg",
                "neg_category_ids": [] if at == EMPTY else absent,
                "not_exhaustive_category_ids": [one for one in present if draws.sometimes(0.35)],
            }
        )
        judged = [] if at == EMPTY else [*present, *absent]
        unjudged = [one for one in used if one not in judged]
        found: list[tuple[int, list[float], int]] = []
        for category, box in boxes if at != UNJUDGED else ():
            for _ in range(draws.below(20 if at == CROWDED else 4)):
                named = category if draws.sometimes(0.8) else draws.one_of(used)
                found.append((named, draws.near(box, height, width), 4 + draws.below(29)))
        for _ in range(400 if at == CROWDED else 18):
            named = draws.one_of(unjudged if at in (EMPTY, UNJUDGED) else used)
            found.append((named, draws.box(height, width), 1 + draws.below(28)))
        for named, (x, y, w, h), score in found:
            mask = octagon(draws.outline([x, y, w, h]), height, width)
            if draws.sometimes(0.06):
                mask[:] = False
            detections.append(
                {
                    "image_id": number,
                    "category_id": named,
                    "bbox": [x, y, 0.0 if draws.sometimes(0.06) else w, h],
                    "score": score / 32,
                    "segmentation": rle.encode(mask),
                }
            )
    content = {"images": images, "annotations": annotations, "categories": categories()}
    return content, detections


def main() -> None:
    folder = Path(sys.argv[1])
    for name, content in zip(("lvis_v1_val", "detections"), federated(), strict=True):
        (folder / f"{name}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
