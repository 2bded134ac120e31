"""Where files are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$RPPBENCH_CACHE, or ~/.cache/rppbench; it may not exist."""
    named = os.environ.get("RPPBENCH_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "rppbench"
