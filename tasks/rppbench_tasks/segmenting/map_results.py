"""Scores of another program's label maps, from detectron2's JSON or a folder of PNGs.

`sem_seg_predictions.json` (detectron2, evaluation/sem_seg_evaluation.py) is a list of
{"file_name", "category_id", "segmentation": RLE}, a mask for each class of an image. A folder has
`<name of the image>.png` with a label for each pixel. One image is in memory at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rppbench.contracts import IGNORED, ReportProgress, Sample, Score, SegmentationSet
from rppbench.errors import UsageError
from rppbench.files import rle
from rppbench.files.coco_json import entries, integer_of, text_of
from rppbench_tasks.segmenting.mean_iou import Absent, Confusion
from rppbench_tasks.segmenting.numbers import numbers

NO_CLASS = 255
"""A pixel without a class, in a PNG of one byte a pixel; in one of two bytes it is 65535."""
LISTED = 3
"""Most names in a message."""


def scores(
    data: SegmentationSet,
    path: Path,
    report_progress: ReportProgress,
    warn: Callable[[str], None],
    absent: Absent = "count",
) -> Iterator[Score]:
    """The scores of a file's or folder's label maps. Pixels that no mask covers are misses.

    `warn` gets a line for maps without a class, and for files of a folder that are not read.
    UsageError where an image is missing, occurs twice, or does not belong to the data set.
    """
    samples = by_stem(data)
    maps = _folder(data, path, samples) if path.is_dir() else _json(data, path, samples)
    confusion = Confusion(len(data.classes))
    seen: set[str] = set()
    blank: list[str] = []
    for name, prediction in maps:
        seen.add(name)
        if (prediction == IGNORED).all():
            blank.append(name)
        confusion.add(data.label_map(samples[name]), prediction)
        report_progress(len(seen), len(samples))
    missing = [name for name in samples if name not in seen]
    if missing:
        raise UsageError(
            f"{path} has no prediction for {len(missing)} of {len(samples)} images of "
            f"{data.name!r}: {_first(missing)}"
        )
    if blank:
        warn(f"{len(blank)} of {len(samples)} maps name no class for any pixel: {_first(blank)}")
    if path.is_dir() and (others := [p.name for p in sorted(path.iterdir()) if p.stem not in seen]):
        warn(f"{len(others)} files of {path} belong to no test image: {_first(others)}")
    yield from confusion.scores(data.unseen(), absent)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")


def by_stem(data: SegmentationSet) -> dict[str, Sample]:
    """The test images by the names of their files. UsageError where two have the same name."""
    samples: dict[str, Sample] = {}
    for sample in data.samples("test"):
        name = data.stem(sample)
        if name in samples:
            raise UsageError(
                f"{samples[name].key} and {sample.key} of {data.name!r} are files of the same "
                "name, so results cannot tell them apart"
            )
        samples[name] = sample
    return samples


def _json(
    data: SegmentationSet, path: Path, samples: dict[str, Sample]
) -> Iterator[tuple[str, NDArray[np.uint16]]]:
    """Name and map of each image. Its entries must be adjacent: one image is held at a time."""
    label_of = {number: label for label, number in enumerate(data.result_ids())}
    seen: set[str] = set()
    named = (
        (_name(entry, samples, data, f"{path}, entry {at}"), at, entry)
        for at, (_, entry) in enumerate(entries(path), 1)
    )
    for name, group in groupby(named, key=lambda row: row[0]):
        size = data.label_map(samples[name]).shape
        labels = np.full(size, IGNORED, np.uint16)
        for _, at, entry in group:
            where = f"{path}, entry {at}"
            if name in seen:
                raise UsageError(
                    f"{where}: image {name!r} occurs again; it is listed twice, or its entries are "
                    "not adjacent"
                )
            label = label_of.get(number := integer_of(entry, "category_id", where))
            if label is None:
                raise UsageError(
                    f"{where}: no class of {data.name!r} has the id {number}; ids go from "
                    f"{min(label_of)} to {max(label_of)}. A folder of PNG label maps counts from 0"
                )
            try:
                mask = rle.decode(entry.get("segmentation"), (size[0], size[1]))
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from error
            if (labels[mask] != IGNORED).any():
                raise UsageError(f"{where}: a pixel of image {name!r} has two classes")
            labels[mask] = label
        seen.add(name)
        yield name, labels


def _name(entry: Any, samples: dict[str, Sample], data: SegmentationSet, where: str) -> str:
    """Name of an entry's image file, without folder (of any operating system) and ending."""
    file = text_of(entry, "file_name", where)
    name = re.split(r"[/\\]", file)[-1].rpartition(".")[0]
    if name not in samples:
        raise UsageError(
            f"{where}: {file!r} is not one of the test images of {data.name!r}, whose files are "
            f"called {', '.join(list(samples)[:LISTED])}, ..."
        )
    return name


def _folder(
    data: SegmentationSet, folder: Path, samples: dict[str, Sample]
) -> Iterator[tuple[str, NDArray[np.uint16]]]:
    """Name and map of each image that has a file."""
    for name, sample in samples.items():
        path = folder / f"{name}.png"
        if not path.is_file():
            continue
        height, width = data.label_map(sample).shape
        try:
            read = numbers(path, (height, width))
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
        labels = read.astype(np.uint16)
        if read.dtype == np.uint8 and len(data.classes) <= NO_CLASS:
            labels[read == NO_CLASS] = IGNORED
        if (wrong := labels[(labels >= len(data.classes)) & (labels != IGNORED)]).size:
            raise UsageError(
                f"{path}: label {int(wrong[0])} is not one of the {len(data.classes)} classes of "
                f"{data.name!r}, which count from 0"
            )
        yield name, labels
