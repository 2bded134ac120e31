"""What the recipes for learning a few images of the embedded world's sets have in common."""

from __future__ import annotations

FEW = ("few-shot", "base-to-new", "fine-tune")
"""Tasks that learn on each transfer set itself."""

FEW_ORIGIN = (
    "rppbench: short enough for two cores; ten times the published transfer rate and no warm-up, "
    "because there are few steps; not tuned on any image"
)
