"""Where real data lies."""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """$RPPBENCH_DATA, else $DATA, else ./data; it may not exist."""
    named = os.environ.get("RPPBENCH_DATA") or os.environ.get("DATA") or "data"
    return Path(named).expanduser()
