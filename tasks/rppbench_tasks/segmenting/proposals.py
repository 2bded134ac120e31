"""Class-agnostic masks of an image: from files, or regions of like colour."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench import rle
from rppbench.errors import MissingDataError, UsageError
from rppbench_tasks.segmenting.numbers import numbers

Mask = NDArray[np.bool_]

MOST = 1000
"""Masks of an image that are read from a file."""


class Proposals(Protocol):
    """Where the masks of an image come from."""

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> Sequence[Mask]:
        """Masks (h, w) of the image, which was `original` (h, w) before it was scaled."""

    def identity(self, key: str) -> str:
        """Tells these masks of the image from any others."""


class Regions:
    """Regions of like colour at several scales, by scikit-image.

    Felzenszwalb and Huttenlocher, Efficient Graph-Based Image Segmentation, IJCV 2004.
    """

    scales = (400, 800, 1600)
    """Chosen on 60 training scenes of `demo-scenes`; see tasks/README.md."""
    least = 40
    """Pixels of the smallest region."""
    kept_bytes = 64 * 1024**2
    kept: OrderedDict[bytes, list[NDArray[np.uint16]]] = OrderedDict()
    """Regions of the last images, for the next method's cell."""

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> Sequence[Mask]:
        found = self._regions(image)
        return [regions == at for regions in found for at in range(int(regions.max()) + 1)]

    def identity(self, key: str) -> str:
        return f"regions {self.scales} {self.least} {version('scikit-image')}"

    def _regions(self, image: Image.Image) -> list[NDArray[np.uint16]]:
        try:
            from skimage.segmentation import felzenszwalb
        except ImportError:
            raise UsageError(
                "proposals=regions needs scikit-image: pip install 'rppbench[segmentation]'"
            ) from None
        name = hashlib.sha256(image.tobytes()).digest()
        if name not in self.kept:
            pixels = np.asarray(image)
            self.kept[name] = [
                felzenszwalb(pixels, scale=scale, sigma=0.8, min_size=self.least).astype(np.uint16)
                for scale in self.scales
            ]
            while sum(m.nbytes for maps in self.kept.values() for m in maps) > self.kept_bytes:
                if len(self.kept) == 1:
                    return self.kept.pop(name)
                self.kept.popitem(last=False)
        return self.kept[name]


class Files:
    """DIR/<key of the image without its ending>.json, a list of RLE, or .png, numbered regions.

    In a PNG 0 is no region, and each other number is one.
    """

    def __init__(self, folder: str) -> None:
        if not folder:
            raise UsageError("proposals=files needs the folder of the masks: path=DIR")
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise MissingDataError(f"no folder of proposals {self.folder}")

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> Sequence[Mask]:
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
            raise UsageError(f"{key!r} leads out of the folder of proposals")
        for ending in (".json", ".png"):
            path = self.folder / f"{below}{ending}"
            if path.is_file():
                return path
        raise MissingDataError(f"no proposals {self.folder / below}.json or .png")

    def _read_json(self, path: Path, size: tuple[int, int]) -> list[Mask]:
        try:
            listed = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise UsageError(f"no JSON: {error}") from error
        if not isinstance(listed, list) or len(listed) > MOST:
            raise UsageError(f"must be a list of at most {MOST} masks")
        return [rle.decode(one, size) for one in listed]

    def _read_png(self, path: Path, size: tuple[int, int]) -> list[Mask]:
        read = numbers(path, size)
        regions = [at for at in np.unique(read).tolist() if at]
        if len(regions) > MOST:
            raise UsageError(f"has {len(regions)} regions, more than {MOST}")
        return [read == at for at in regions]
