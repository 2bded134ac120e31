"""Digests of file contents, which identify the data that a path names."""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from struct import Struct
from typing import Any

from rppbench.errors import MissingDataError

_pack = Struct("<3qQ").pack


def identity_of(path: str | int) -> bytes | None:
    """Size, modification time, status-change time and inode of a file, packed; None without one.

    A link has the identity of the file that it leads to. `path` may be an open file.
    """
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return _pack(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


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
    """SHA-256 of a file, computed once by a process for each path, size, inode and times."""
    return _sha256(path.resolve(), identity_of(os.fspath(path)))


@lru_cache(maxsize=256)
def _sha256(path: Path, identity: bytes | None) -> str:
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
