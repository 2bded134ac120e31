"""Proposals of another program: masks from a folder, boxes from a results file.

The files are untrusted: a damaged one is a UsageError that names the file.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from array import array
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts import DetectionSet, Sample
from rppbench.errors import MissingDataError, UsageError
from rppbench.files import rle
from rppbench.files.coco_json import box, entries, integer_of, number_of
from rppbench_tasks.box_checks import check_boxes, shapes_of
from rppbench_tasks.proposing.boxes import Boxes, no_boxes
from rppbench_tasks.proposing.masks import MOST, Mask
from rppbench_tasks.segmenting.numbers import numbers


class MaskFiles:
    """Masks of an image from DIR/<its key without the ending>.json or .png.

    JSON is a list of RLE masks. In a PNG each number except 0 is a region.
    """

    def __init__(self, folder: str) -> None:
        if not folder:
            raise UsageError("proposals=files needs the folder of the masks: path=DIR")
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise MissingDataError(f"no folder of proposals {self.folder}")

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> list[Mask]:
        path = self._path(key)
        try:
            read = self._read_png if path.suffix == ".png" else self._read_json
            masks = read(path, original)
        except UsageError as error:
            raise UsageError(f"proposals {path}: {error}") from error
        width, height = image.size
        if (height, width) == original:
            return masks
        size = (width, height)
        return [np.asarray(Image.fromarray(mask).resize(size)).astype(bool) for mask in masks]

    def identity(self, key: str) -> str:
        return hashlib.sha256(self._path(key).read_bytes()).hexdigest()

    def _path(self, key: str) -> Path:
        below = PurePosixPath(key).with_suffix("")
        if below.is_absolute() or ".." in below.parts:
            raise UsageError(f"{key!r} is outside of the folder of proposals")
        for ending in (".json", ".png"):
            path = self.folder / f"{below}{ending}"
            if path.is_file():
                return path
        raise MissingDataError(f"no proposals {self.folder / below}.json or .png")

    def _read_json(self, path: Path, size: tuple[int, int]) -> list[Mask]:
        try:
            listed = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise UsageError(f"not JSON: {error}") from error
        if not isinstance(listed, list) or len(listed) > MOST:
            raise UsageError(f"must be a list of at most {MOST} masks")
        return [rle.decode(one, size) for one in listed]

    def _read_png(self, path: Path, size: tuple[int, int]) -> list[Mask]:
        read = numbers(path, size)
        regions = [at for at in np.unique(read).tolist() if at]
        if len(regions) > MOST:
            raise UsageError(f"has {len(regions)} regions, more than {MOST}")
        return [read == at for at in regions]


class BoxFile:
    """Boxes of any detector, from a JSON file in COCO's results format; categories are ignored.

    Images have the ids of COCO's files.
    """

    def __init__(self, data: DetectionSet, path: Path) -> None:
        self.path = path
        samples = data.samples("test")
        at_of = {number: at for at, number in enumerate(data.image_ids("test"))}
        rows, owners = array("d"), array("q")
        for _, entry in entries(path):
            where = str(path)
            number = integer_of(entry, "image_id", where)
            if number not in at_of:
                raise UsageError(f"{where}: {data.name!r} has no image with the id {number}")
            owners.append(at_of[number])
            score = number_of(entry, "score", where)
            if not 0 <= score <= 1:
                raise UsageError(f"{where}: the score {score} is not between 0 and 1")
            rows.extend((*box(entry, where), score))
        numbers_read = np.frombuffer(rows, float).reshape(-1, 5)
        images = np.asarray(owners, np.int64)
        check_boxes(numbers_read[:, :4], shapes_of(data, images), str(path), warnings.warn)
        values = numbers_read.astype(np.float32)
        order = np.lexsort((-values[:, 4], images))
        listed, starts = np.unique(images[order], return_index=True)
        parts = np.split(values[order], starts[1:]) if len(listed) else []
        self._rows: Mapping[str, NDArray[np.float32]] = {
            samples[at].key: part for at, part in zip(listed.tolist(), parts, strict=True)
        }

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        rows = self._rows.get(sample.key)
        return no_boxes() if rows is None else (rows[:, :4], rows[:, 4])

    def identity(self) -> str:
        return ""  # the file was read already: storing its boxes again would save nothing
