"""Where the data of published data sets lies."""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """$RPPBENCH_DATA, else $DATA, else ./data; it may not exist. Nothing is written under it."""
    named = os.environ.get("RPPBENCH_DATA") or os.environ.get("DATA") or "data"
    return Path(named).expanduser()
