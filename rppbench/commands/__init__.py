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


def torch_device(name: str) -> str:
    """The device that is meant. UsageError if this machine does not have it."""
    import torch

    cuda = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if cuda else "cpu"
    if name == "cpu":
        return name
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()):
        raise unknown("device is named", name, ("auto", "cpu", "cuda", "cuda:N"), "devices")
    count = torch.cuda.device_count() if cuda else 0
    if int(index or 0) >= count:
        raise UsageError(f"no device {name!r}: torch sees {count} CUDA devices here")
    return name
