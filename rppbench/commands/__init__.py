"""The commands, one module each, and what they share: the console, and words for devices."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.errors import UsageError, unknown

if TYPE_CHECKING:  # rich takes a tenth of a second; `--version` prints without it
    from rich.console import Console
