"""What files hold, as a digest: the identity of data that a path names."""

from __future__ import annotations

from pathlib import Path

from rppbench.errors import MissingDataError
from rppbench.records import digest
from rppbench.weights import sha256


def content_digest(path: Path) -> str:
    """Of a file, or of all files below a folder with their names. MissingDataError without one."""
    if path.is_file():
        return sha256(path)[:32]
    if not path.is_dir():
        raise MissingDataError(f"no file or folder {path}")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest({file.relative_to(path).as_posix(): sha256(file) for file in files}, 32)
