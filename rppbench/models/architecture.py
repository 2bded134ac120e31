"""The parts of an open_clip model, and the types of its numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def text_part(model: Any) -> Any:
    """The module with the text tower's parts: `model.text`, or the model itself.

    open_clip's class `CLIP` keeps the parts of its text tower at its own top level.
    """
    return getattr(model, "text", model)


def weight_dtype(tower: nn.Module) -> torch.dtype:
    """The type of a tower's matrices.

    Norms and position embeddings stay float32 in open_clip's half-precision modes, so their type
    does not show it.
    """
    layers = (nn.Linear, nn.Conv2d)
    return next(part.weight.dtype for part in tower.modules() if isinstance(part, layers))


def is_causal(text: Any) -> bool:
    """Whether every token of the text tower attends only to itself and the tokens before it."""
    mask = getattr(text, "attn_mask", None)
    return mask is not None and torch.equal(mask.isneginf(), torch.ones_like(mask).triu(1).bool())
