"""The folder of real data, and whether it may lack images."""

from __future__ import annotations

import os
from pathlib import Path

from rppbench.contracts.dataset import PARTIAL
from rppbench.errors import UsageError


def use_data(folder: Path) -> None:
    """Make data sets look below this folder, in this process and in its workers."""
    if not folder.is_dir():
        raise UsageError(f"--data: no folder {folder}")
    os.environ["RPPBENCH_DATA"] = str(folder.absolute())


def use_partial(partial: bool) -> None:
    """Allow data sets to lack images, or not, in this process and in its workers."""
    if partial:
        os.environ[PARTIAL] = "1"
    else:
        os.environ.pop(PARTIAL, None)
