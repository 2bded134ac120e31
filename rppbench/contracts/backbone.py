"""Backbones that ship with a plugin, named like any other: `--model demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PRECISIONS = ("fp32", "bf16", "fp16")
"""Of the frozen towers, by the words of `--precision`; here, where a plan need not load torch's
neighbours to know them."""


@dataclass(frozen=True)
class Backbone:
    """An open_clip model whose weights are files of a plugin."""

    name: str
    title: str
    config: Path
    """JSON: open_clip's model config, plus `preprocess` (size, mean, std, interpolation)."""
    weights: Path
    """safetensors of the model's state."""
    sha256: str
    """Of the weights file; checked at load."""
    licence: str = ""
    note: str = ""
    """What it is for, and what it is not."""
