"""Names of components as parts of paths: readable, safe on any system, and never two for one."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256

PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")
"""Names that are parts of paths as they are."""
NOT_PLAIN = (".json", ".jsonl", ".damaged", ".started", ".tmp")
"""Endings of the files of a store, which a folder must not have."""
READABLE = 60
"""Characters of another name that are kept, before its digest."""


@lru_cache(maxsize=1024)
def file_name(name: str) -> str:
    """A component's name as one part of a path: itself, or its letters and a digest."""
    if PLAIN.fullmatch(name) and not name.lower().endswith(NOT_PLAIN):
        return name
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    letters = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:READABLE].strip("_")
    return f"{letters or 'name'}-{digest}"


@lru_cache(maxsize=1024)
def former_file_name(name: str) -> str:
    """The part of a path that versions before 0.2 made of a name; two names could share it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")[:80] or "_"
