"""Image files: which file names count as images, and decoding one to RGB."""

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
"""Endings of files that count as images, in lower case."""

_SUFFIXES = frozenset(os.fsencode(suffix) for suffix in SUFFIXES)


def is_image_file(name: bytes) -> bool:
    """Whether a file of this name counts as an image: a known ending in any case, not hidden."""
    dot = name.rfind(b".")
    return dot > 0 and not name.startswith(b".") and name[dot:].lower() in _SUFFIXES


def read_image(path: Path) -> Image.Image:
    """The RGB image in a file. MissingDataError if it is missing or not an image."""
    return decode_image(path, str(path))


def decode_image(file: Path | BinaryIO, name: str) -> Image.Image:
    """The RGB image in a file or stream. MissingDataError, which calls it `name`."""
    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise MissingDataError(f"no image {name}") from error
    except Exception as error:  # decoders raise errors of any type for a broken file
        message = f"cannot read image {name}: {type(error).__name__}: {error}"
        raise MissingDataError(message, UNREADABLE) from error
