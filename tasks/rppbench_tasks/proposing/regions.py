"""Regions of similar colour at several scales, by scikit-image: not learned, for drawn scenes.

Felzenszwalb and Huttenlocher, Efficient Graph-Based Image Segmentation, IJCV 2004.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.contracts import Sample
from rppbench_tasks.proposing.boxes import Boxes, distinct
from rppbench_tasks.proposing.masks import Mask


class Regions:
    """Masks of the regions, and the boxes of these masks."""

    scales = (400, 800, 1600)
    """Chosen on 60 plain scenes; see tasks/README.md."""
    least = 40
    """Pixels of the smallest region."""
    side = 512
    """Pixels of the longer side; larger images are shrunk to it to limit the number of regions."""
    most = 500
    """Most regions that are used of an image: the largest ones."""

    def __call__(self, image: Image.Image, key: str, original: tuple[int, int]) -> Iterator[Mask]:
        maps = self._maps(image)
        sizes = np.concatenate([np.bincount(regions.ravel()) for regions in maps])
        kept = set(np.argsort(-sizes, kind="stable")[: self.most].tolist())
        first = 0
        for regions in maps:
            full = np.asarray(Image.fromarray(regions).resize(image.size, Image.Resampling.NEAREST))
            count = int(regions.max()) + 1
            yield from (full == at for at in range(count) if first + at in kept)
            first += count

    def find(self, sample: Sample, image: Image.Image) -> Boxes:
        """Boxes of regions that touch at most one edge of the image; larger ones score higher.

        Regions that touch more edges count as background. Both rules were chosen on training
        scenes; see tasks/README.md.
        """
        from scipy.ndimage import find_objects

        maps = self._maps(image)
        height, width = maps[0].shape
        candidates: list[tuple[float, ...]] = []
        for regions in maps:
            sizes = np.bincount(regions.ravel())
            for at, (rows, columns) in enumerate(find_objects(regions.astype(np.int32) + 1)):
                x, y, right, bottom = columns.start, rows.start, columns.stop, rows.stop
                edges = (x == 0) + (y == 0) + (right == width) + (bottom == height)
                if edges < 2:
                    score = (sizes[at] / (height * width)) ** 0.5
                    candidates.append((x, y, right - x, bottom - y, score))
        values = np.array(candidates, np.float32).reshape(-1, 5)
        values = values[np.argsort(-values[:, 4], kind="stable")[: self.most]]
        scale = np.array([image.width / width, image.height / height] * 2, np.float32)
        return distinct(values[:, :4] * scale, values[:, 4], 0.9)

    def identity(self, key: str = "") -> str:
        facts = (self.scales, self.least, self.side, self.most)
        return f"regions {facts} {version('scikit-image')}"

    def _maps(self, image: Image.Image) -> list[NDArray[np.uint16]]:
        """Maps (h, w) of region numbers from 0, one map for each scale."""
        from skimage.segmentation import felzenszwalb

        shrink = max(1.0, max(image.size) / self.side)
        if shrink > 1:
            width, height = (max(1, round(edge / shrink)) for edge in image.size)
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        return [
            # regions have at least 40 pixels, so 16 bits are enough for their numbers
            felzenszwalb(pixels, scale=scale, sigma=0.8, min_size=self.least).astype(np.uint16)
            for scale in self.scales
        ]
