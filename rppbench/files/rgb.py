"""The RGB pixels of an image file: the one place where files are decoded to what a tower sees.

Modes and how they become RGB:

- Eight bits a channel without transparency (almost all files): Pillow's `convert("RGB")`, as CLIP's
  and CoOp's own loaders do. EXIF orientation and colour profiles are ignored, as they ignore them.
- Transparency: composed onto white, so the colours of hidden pixels, which nobody sees, decide
  nothing. White is the page behind most cut-out pictures. A file whose pixels are all opaque keeps
  its colours exactly.
- Sixteen bits (unsigned): divided by 257, so 65535 becomes 255.
- Floating point: 0..1, times 255. Any other range is refused, since files do not state theirs.
- Any other mode, such as signed or 32-bit integers: refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rppbench.errors import UNREADABLE, MissingDataError

BACKGROUND = (255, 255, 255)
"""The colour behind transparent pixels."""
_SIXTEEN_BITS = 65535


def decode_image(
    file: Path | BinaryIO, name: str, *, drop_transparency: bool = False
) -> Image.Image:
    """The RGB image in a file or stream. MissingDataError, which calls it `name`.

    drop_transparency: take the colours of transparent pixels as they are, as the official loaders
    do; only for published data sets, whose numbers are compared with those of the papers.
    """
    try:
        with Image.open(file) as image:
            return _to_rgb(image, drop_transparency)
    except FileNotFoundError as error:
        raise MissingDataError(f"no image {name}") from error
    except Exception as error:  # decoders raise errors of any type for a broken file
        kind = "" if isinstance(error, _RangeError) else f"{type(error).__name__}: "
        message = f"cannot read image {name}: {kind}{error}"
        raise MissingDataError(message, UNREADABLE) from error


class _RangeError(ValueError):
    """An image whose range of values is unknown."""


def _to_rgb(image: Image.Image, drop_transparency: bool) -> Image.Image:
    """The image in mode RGB. ValueError if the range of its values is unknown."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PPM", "PNG")):
        return _from_sixteen_bits(image)  # Pillow reads 16-bit PGM, and once read PNG, as mode I
    if mode == "F":
        return _from_floats(image)
    if mode == "I":
        raise _RangeError(
            "it has 32-bit integers, whose range is not stated; save it with 8 or 16 bits a channel"
        )
    if drop_transparency or not image.has_transparency_data:
        return image.convert("RGB")
    key = image.info.get("transparency")
    if mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # The transparent colour of a 16-bit PNG, of whose pixels Pillow keeps the high bytes.
        image.info["transparency"] = tuple(value >> 8 for value in key)
    layers = image.convert("RGBA")
    if layers.getchannel("A").getextrema() == (255, 255):
        return layers.convert("RGB")
    white = Image.new("RGBA", image.size, (*BACKGROUND, 255))
    white.alpha_composite(layers)
    return white.convert("RGB")


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.size and not 0 <= values.min() <= values.max() <= _SIXTEEN_BITS:
        raise _RangeError(f"its values go from {values.min()} to {values.max()}, not 0 to 65535")
    grey = (values + 128) // 257
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[values == key] = BACKGROUND[0]
    return _from_grey(grey)


def _from_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.size and not (np.isfinite(values).all() and 0 <= values.min() <= values.max() <= 1):
        raise _RangeError(
            f"its floating-point values go from {values.min():g} to {values.max():g}, not 0 to 1; "
            "scale them, or save it with 8 bits a channel"
        )
    return _from_grey((values * 255 + 0.5).astype(np.int64))


def _from_grey(values: NDArray[np.int64]) -> Image.Image:
    """An RGB image from grey values (h, w) in 0..255."""
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")
