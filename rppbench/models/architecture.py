"""The parts of an open_clip model, and whether its towers can take learned tokens.

A tower that cannot be prompted can still encode; the `*_obstacle` functions say why no prompt can
enter it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import torch
from open_clip import SimpleTokenizer
from open_clip.transformer import ResidualAttentionBlock, TextTransformer, VisionTransformer
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


def text_obstacle(model: Any, tokenizer: object) -> str | None:
    """Why the text tower cannot be prompted; None if it can."""
    text = text_part(model)
    # `CLIP` takes over the parts of a TextTransformer and drops the object itself.
    if text is not model and type(text) is not TextTransformer:
        return f"it is a {type(text).__name__}, not open_clip's own transformer"
    if not isinstance(tokenizer, SimpleTokenizer):
        return f"its tokenizer is a {type(tokenizer).__name__}, not CLIP's own"
    if getattr(text, "cls_emb", None) is not None:
        return "it reads its feature from a class token behind the text (CoCa)"
    pool = getattr(text, "pool_type", None) or text.text_pool_type
    end = getattr(text, "eos_id", None) or text.text_eos_id
    if pool != "argmax" and not (pool == "eos" and end == tokenizer.eot_token_id):
        return f"it reads its feature from {pool!r}, not from the end token"
    return blocks_obstacle(text.transformer.resblocks)


def image_obstacle(visual: nn.Module) -> str | None:
    """Why the image tower cannot be prompted; None if it can."""
    if type(visual) is not VisionTransformer:
        return f"it is a {type(visual).__name__}, not a plain vision transformer"
    if visual.attn_pool is not None:
        return "it reads its feature through an attention pooler"
    return blocks_obstacle(visual.transformer.resblocks)


def blocks_obstacle(blocks: Iterable[nn.Module]) -> str | None:
    """Why learned tokens cannot enter these transformer blocks; None if they can."""
    for block in blocks:
        if type(block) is not ResidualAttentionBlock or hasattr(block, "ln_1_kv"):
            return f"its blocks are {type(block).__name__}, with an attention of their own"
        attention = block.attn
        if type(attention) is not nn.MultiheadAttention or attention.in_proj_weight is None:
            return f"its attention is a {type(attention).__name__}"
    return None
