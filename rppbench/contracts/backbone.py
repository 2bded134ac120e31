"""Backbones that ship with a plugin; `--model NAME` names them as it names those of open_clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PRECISIONS = ("fp32", "bf16", "fp16")
"""Number formats of the frozen towers, in the words of `--precision`. They stand here so that a
plan is checked without loading torch."""


@dataclass(frozen=True)
class Backbone:
    """An open_clip model whose weights are files of a plugin."""

    name: str
    """The word of the command line."""
    title: str
    """As tables and lists print it."""
    config: Path
    """JSON file: open_clip's model config, plus `preprocess` (size, mean, std, interpolation)."""
    weights: Path
    """safetensors file of the model's state dict."""
    sha256: str
    """Digest of the weights file; checked at load."""
    licence: str = ""
    """Licence of the weights."""
    note: str = ""
    """What it is for, and what it is not."""
    teacher: str = ""
    """Its usual teacher, any backbone by name; '' if it teaches itself."""
    suite: str = ""
    """The data sets it was trained for: their recipes are the usual ones. '' if it is general."""
    default: bool = False
    """Whether it is used where no backbone is named. Exactly one may be installed."""
