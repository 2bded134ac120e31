"""Training, validation and test images of a flat folder of classes: the same for everyone.

Images are ordered by the SHA-256 of their files, which no name, date or copy changes, and each
class fills its training part first, then validation, then test. Near-duplicates stay together:
two images of equal files, and two whose average hashes of 8 x 8 (a bit for each pixel that is
brighter than the mean) differ in at most `MAX_BITS` of 64 bits and whose 8 x 8 colours differ by at
most `MAX_LEVELS` of 255 levels on average. They may be of different classes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from rppbench import cache_folder
from rppbench.contracts import Sample
from rppbench.errors import MissingDataError, UsageError
from rppbench.files.atomic import write_atomically
from rppbench_datasets import image_files

if TYPE_CHECKING:
    import numpy as np

RULE = 1
"""Increased when the same files would be split in another way."""
MAX_BITS = 3
MAX_LEVELS = 8
SIDE = 8
BANDS = MAX_BITS + 1
"""Of hashes that differ in at most `MAX_BITS` bits, one of these bands of bits is equal."""

Look = tuple[str, str]
"""SHA-256 of a file, and its 8 x 8 colours in hex; '' for an image that cannot be read."""


@dataclass(frozen=True)
class Shares:
    """How much of each class is for training and validation; all the rest is for testing."""

    train: float = 0.5
    """A fraction below 1, or a number of images; 0.5 and 0.2 are those of CoOp's own splits."""
    val: float = 0.2

    def __str__(self) -> str:
        return f"train={self.train:g}, val={self.val:g}, by content, rule {RULE}"

    def of(self, images: int) -> tuple[int, int]:
        """Numbers of training and validation images of a class with so many images."""
        left = max(images - 1, 1)
        train = min(max(1, _part(self.train, images)), left)
        return train, min(_part(self.val, images), images - 1 - train) if images > 1 else 0


def shares(chosen: Mapping[str, str], name: str) -> Shares:
    """The shares that options of a name give: '?train=0.6&val=0.1', '?train=16'.

    UsageError for values that are neither fractions below 1 nor integers.
    """
    values = {}
    for option, text in chosen.items():
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e9 or (value >= 1 and value != int(value)):
            raise UsageError(
                f"{name}: {option}={text} is neither a fraction below 1 nor a number of images"
            )
        values[option] = value
    made = Shares(**values)
    if made.train == 0:
        raise UsageError(f"{name}: train=0 leaves nothing to learn on; test=all only tests")
    if made.train < 1 and made.val < 1 and made.train + made.val >= 1:
        raise UsageError(f"{name}: train and val leave nothing to test on; they must add up to < 1")
    return made


@dataclass(frozen=True)
class Division:
    """The images of each split, and how many were kept together with a near-duplicate."""

    lists: dict[str, list[Sample]]
    joined: int


def divided(root: Path, samples: Sequence[Sample], wanted: Shares) -> Division:
    """The samples in 'train', 'val' and 'test'; each list keeps their order."""
    looks = _looks(root, [sample.key for sample in samples])
    groups = _groups(looks)
    sizes = Counter(sample.label for sample in samples)
    by_class = defaultdict[int, list[list[int]]](list)
    for group in groups:
        by_class[samples[group[0]].label].append(group)
    filled = Counter[tuple[str, int]]()
    split_of = {}
    for label in sorted(by_class):
        train, val = wanted.of(sizes[label])
        for number, group in enumerate(by_class[label], 1):
            split = "test"
            if number < len(by_class[label]) or number == 1:  # the last one is tested on
                if filled["train", label] < train:
                    split = "train"
                elif filled["val", label] < val:
                    split = "val"
            for index in group:
                split_of[index] = split
                filled[split, samples[index].label] += 1
    lists: dict[str, list[Sample]] = {"train": [], "val": [], "test": []}
    for index, sample in enumerate(samples):
        lists[split_of[index]].append(sample)
    joined = sum(len(group) for group in groups if len(group) > 1)
    return Division({split: listed for split, listed in lists.items() if listed}, joined)


def _part(share: float, images: int) -> int:
    return round(share * images) if share < 1 else int(share)


def _groups(looks: Sequence[Look]) -> list[list[int]]:
    """Indices of near-duplicates together, each group and all groups in the order of digests."""
    order = sorted(range(len(looks)), key=lambda index: looks[index][0])
    head = list(range(len(looks)))

    def head_of(index: int) -> int:
        while head[index] != index:
            head[index] = index = head[head[index]]
        return index

    first: dict[str, int] = {}
    for index in order:
        head[head_of(index)] = head_of(first.setdefault(looks[index][0], index))
    for one, two in _alike(looks, sorted(first.values())):
        head[head_of(two)] = head_of(one)
    groups = defaultdict[int, list[int]](list)
    for index in order:
        groups[head_of(index)].append(index)
    return list(groups.values())


def _alike(looks: Sequence[Look], indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of near-duplicates among images, compared only where a band of bits is equal."""
    import numpy as np

    readable = [index for index in indices if looks[index][1]]
    if not readable:
        return
    rows = [np.frombuffer(bytes.fromhex(looks[index][1]), np.uint8) for index in readable]
    colours = np.stack(rows).astype(np.int16)
    bits = _bits(colours)
    for band in range(BANDS):
        buckets = defaultdict[bytes, list[int]](list)
        for row, key in enumerate(np.packbits(bits[:, band::BANDS], axis=1)):
            buckets[key.tobytes()].append(row)
        for bucket in buckets.values():
            for at, row in enumerate(bucket[:-1]):
                others = np.asarray(bucket[at + 1 :])
                near = (bits[others] != bits[row]).sum(axis=1) <= MAX_BITS
                others = others[near]
                close = np.abs(colours[others] - colours[row]).mean(axis=1) <= MAX_LEVELS
                for other in others[close]:
                    yield readable[row], readable[other]


def _bits(colours: np.ndarray) -> np.ndarray:
    """The average hash: [N, 192] colours -> [N, 64] of bool."""
    grey = colours.reshape(len(colours), SIDE * SIDE, 3).sum(axis=2)
    return grey * (SIDE * SIDE) > grey.sum(axis=1, keepdims=True)


def _looks(root: Path, keys: Sequence[str]) -> list[Look]:
    """A look at each file, kept in the cache for as long as size and time of the file stay."""
    place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    file = cache_folder() / "flat-folders" / f"{place}.json"
    kept: dict[str, list[object]] = {}
    with suppress(OSError, ValueError):
        content = json.loads(file.read_text(encoding="utf-8"))
        kept = content["images"] if content["rule"] == RULE else {}
    rows: dict[str, list[object]] = {}
    for key in keys:
        try:
            facts = os.stat(root / key)
            stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
            row = kept.get(key, [])
            rows[key] = row if row[:3] == stamp else [*stamp, *_look(root / key)]
        except OSError as error:
            raise MissingDataError(f"cannot read {root / key}: {error.strerror}") from error
    if rows != kept:
        with suppress(OSError):  # it only saves the next start some time
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps({"rule": RULE, "images": rows}))
    return [(str(rows[key][3]), str(rows[key][4])) for key in keys]


def _look(path: Path) -> Look:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        small = image_files.read_image(path).resize((SIDE, SIDE), Image.Resampling.BOX)
    except MissingDataError:  # named when it is read for a result
        return digest, ""
    return digest, small.tobytes().hex()
