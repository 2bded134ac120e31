"""What a folder of images holds: class folders, image files, and what is neither."""

from __future__ import annotations

import os
from pathlib import Path

from rppbench.errors import MissingDataError
from rppbench_datasets import image_files
from rppbench_datasets.manifest import END, check_text

UNREAD = (".heic", ".heif", ".jxl", ".jp2", ".svg", ".psd", ".dng", ".cr2", ".nef", ".arw")
"""Endings of image files that are not read."""
CLUTTER = (b"Thumbs.db", b"desktop.ini")
"""Files that an operating system leaves in folders of images."""


def folders(place: Path) -> list[str]:
    """Names of the folders in a folder, sorted; hidden ones are left out."""
    try:
        with os.scandir(place) as entries:
            names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise MissingDataError(f"cannot list {place}: {error.strerror}") from error
    check_text(END.join(map(os.fsencode, names)), place)
    return names


def entries(place: Path) -> tuple[list[str], list[str], list[str]]:
    """Names of image files, other files and folders in a folder, each sorted; hidden ones not."""
    images, others, folders = list[bytes](), list[bytes](), list[bytes]()
    try:
        with os.scandir(os.fsencode(place)) as entries:
            for entry in entries:
                if image_files.is_image_file(entry.name) and entry.is_file():
                    images.append(entry.name)
                elif not entry.name.startswith(b".") and entry.name not in CLUTTER:
                    (folders if entry.is_dir() else others).append(entry.name)
    except OSError as error:
        raise MissingDataError(f"cannot list {place}: {error.strerror}") from error
    check_text(END.join(sorted(images)), place)
    return (
        [name.decode() for name in sorted(images)],
        [os.fsdecode(name) for name in sorted(others)],
        [os.fsdecode(name) for name in sorted(folders)],
    )


def unlabelled(place: Path) -> list[str]:
    """Names of image files that lie beside class folders, of endings that are not read too."""
    images, others, _ = entries(place)
    return [*images, *(name for name in others if name.lower().endswith(UNREAD))]
