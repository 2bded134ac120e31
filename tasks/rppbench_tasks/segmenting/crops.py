"""What the image tower sees of a mask: its box, with everything outside the mask painted over."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from rppbench.contracts import RegionEncoder
from rppbench_tasks.proposing.masks import Part


def cut_out(
    image: Image.Image, part: Part, fill: tuple[int, int, int], padded: bool = True
) -> Image.Image:
    """A square image with a mask's box in its middle; outside the mask it has the colour `fill`.

    If it is not `padded`, the box is stretched to the square instead.
    """
    pixels = np.array(image.crop(_box(part)))
    pixels[~part.mask] = fill
    side = max(pixels.shape[:2])
    if not padded:
        return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    # A square, or the centre crop of the tower's preprocessing would cut long objects.
    square = np.full((side, side, 3), fill, np.uint8)
    y, x = (side - pixels.shape[0]) // 2, (side - pixels.shape[1]) // 2
    square[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return Image.fromarray(square)


def stretched(image: Image.Image, part: Part, encoder: RegionEncoder) -> Tensor:
    """(3, s, s) normalised pixels: a mask's box, stretched to the tower's size.

    Outside the mask it has the tower's mean colour. The order, first painted, then enlarged without
    a filter, is that of MendelXu/zsseg.baseline, mask_former/modeling/clip_adapter/adapter.py.
    """
    pixels = encoder.pixels(image.crop(_box(part)))
    pixels[:, ~part.mask] = 0
    side = encoder.image_size
    return interpolate(pixels[None], (side, side), mode="bicubic")[0]


def _box(part: Part) -> tuple[int, int, int, int]:
    return part.columns.start, part.rows.start, part.columns.stop, part.rows.stop
