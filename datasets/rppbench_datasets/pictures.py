"""Image files: which names they have, and how one is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from rppbench.errors import UNREADABLE, MissingDataError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
"""Of files that are listed as images, in lower case."""

_SUFFIXES = frozenset(os.fsencode(suffix) for suffix in SUFFIXES)


def is_picture(name: bytes) -> bool:
    """Whether a file of this name is listed: a known ending in any case, and not hidden."""
    dot = name.rfind(b".")
    return dot > 0 and not name.startswith(b".") and name[dot:].lower() in _SUFFIXES


def read(path: Path) -> Image.Image:
    """The RGB image in a file. MissingDataError names a file that is not there or no image."""
    return decode(path, str(path))


def decode(file: Path | BinaryIO, where: str) -> Image.Image:
    """The RGB image in a file or stream; errors are MissingDataError and call it `where`."""
    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise MissingDataError(f"no image {where}") from error
    except Exception as error:  # decoders raise what they like for a broken file
        told = f"cannot read image {where}: {type(error).__name__}: {error}"
        raise MissingDataError(told, UNREADABLE) from error
