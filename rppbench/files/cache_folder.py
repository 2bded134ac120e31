"""Where files are kept that can be made again, and how much of them."""

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
    """Bytes that stored features may take, by $RPPBENCH_CACHE_SIZE; None if it is not set.

    UsageError if it is no size.
    """
    said = os.environ.get(LIMIT)
    return parse_size(said, f"${LIMIT}") if said else None
