"""Whether a file or folder is there with something in it."""

from __future__ import annotations

from pathlib import Path


def holds_something(path: Path) -> bool:
    """Whether there is a file that is not empty, or a folder with something in it."""
    if path.is_dir():
        return next(path.iterdir(), None) is not None
    return path.is_file() and path.stat().st_size > 0
