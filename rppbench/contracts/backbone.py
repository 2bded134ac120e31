"""Backbones that ship with a plugin; `--model NAME` takes them as it takes open_clip's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PRECISIONS = ("fp32", "bf16", "fp16")
"""Number formats of the frozen towers, as `--precision` spells them. Defined here so that a plan
can be checked without loading torch."""


@dataclass(frozen=True)
class Backbone:
    """An open_clip model whose weights are files of a plugin."""

    name: str
    """Its name on the command line."""
    title: str
    """Its name in tables and lists."""
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
    """The suite whose recipes are its usual ones; '' for a general model."""
    default: bool = False
    """Whether it is used where no backbone is named; exactly one installed one must set this."""
