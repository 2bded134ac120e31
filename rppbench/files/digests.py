"""Digests of file contents, which identify the data that a path names."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from rppbench.errors import MissingDataError


def content_digest(path: Path) -> str:
    """Digest of a file, or of all files below a folder with their names.

    MissingDataError if the path is neither.
    """
    if path.is_file():
        return sha256(path)[:32]
    if not path.is_dir():
        raise MissingDataError(f"no file or folder {path}")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest({file.relative_to(path).as_posix(): sha256(file) for file in files}, 32)


def sha256(path: Path) -> str:
    """SHA-256 of a file, computed once for each path, size and modification time."""
    stat = path.stat()
    return _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def digest(value: Any, length: int = 12) -> str:
    """The first hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
