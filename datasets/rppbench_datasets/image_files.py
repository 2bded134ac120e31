"""Image files: which file names count as images, and reading one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from rppbench.contracts import Sample
from rppbench.files.rgb import decode_image

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


def paths_below(root: Path, samples: Sequence[Sample]) -> list[str]:
    """The files of images whose keys are paths below a root; quicker than joining paths."""
    start = os.path.join(root, "")
    return [f"{start}{sample.key}" for sample in samples]


def read_image(path: Path) -> Image.Image:
    """The RGB image in a file. MissingDataError if it is missing or not an image."""
    return decode_image(path, str(path))
