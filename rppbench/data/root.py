"""The folder of real data."""

from __future__ import annotations

import os
from pathlib import Path

from rppbench.errors import UsageError


def use_data(folder: Path) -> None:
    """Make data sets look below this folder, in this process and in its workers."""
    if not folder.is_dir():
        raise UsageError(f"--data: no folder {folder}")
    os.environ["RPPBENCH_DATA"] = str(folder.absolute())
