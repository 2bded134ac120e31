"""The folder for files that can be computed again, and its size limit."""

from __future__ import annotations

import os
from pathlib import Path

from rppbench.files.sizes import parse_size

LIMIT = "RPPBENCH_CACHE_SIZE"


def cache_folder() -> Path:
    """$RPPBENCH_CACHE, or ~/.cache/rppbench; it may not exist."""
    named = os.environ.get("RPPBENCH_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "rppbench"


def cache_limit() -> int | None:
    """Maximum bytes of all stored features ($RPPBENCH_CACHE_SIZE); None if it is not set.

    UsageError if it is not a size.
    """
    text = os.environ.get(LIMIT)
    return parse_size(text, f"${LIMIT}") if text else None
