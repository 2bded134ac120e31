"""PNG images with a number for each pixel: regions or labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.errors import UsageError


def numbers(path: Path, size: tuple[int, int]) -> NDArray[np.uint8 | np.uint16]:
    """(h, w) numbers of a PNG of one or two bytes a pixel. UsageError for another file or size."""
    try:
        with Image.open(path, formats=["PNG"]) as file:
            if file.size != size[::-1] or file.mode not in ("L", "P", "I;16"):
                raise UsageError(
                    f"has mode {file.mode} and {file.height} x {file.width} pixels, "
                    f"not one number for each of {size[0]} x {size[1]}"
                )
            return np.asarray(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"not a PNG image: {error}") from error
