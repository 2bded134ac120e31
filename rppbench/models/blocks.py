"""One residual block of open_clip, computed step by step so that learned tokens can enter it.

For each block of its transformer a tower runs `prompt_insertion.insert_prompt`, `project_qkv`,
attention, and `finish_block`.

Shapes: b sequences, c classes, s suffix tokens, p prefix tokens, l tokens, d width, h heads,
e embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FinishBlock = Callable[[Any, Tensor, Tensor], Tensor]
"""`finish_block`, or its version compiled by `torch.compile`."""


def project_qkv(attention: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (b, h, l, d/h) of inputs (b, l, d), by the block's own weights."""
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    if q is k is v:
        parts = F.linear(q, weight, bias).chunk(3, -1)
    else:
        inputs = zip((q, k, v), weight.chunk(3), bias.chunk(3), strict=True)
        parts = tuple(F.linear(x, w, b) for x, w, b in inputs)
    heads = (attention.num_heads, -1)
    q, k, v = (part.unflatten(-1, heads).transpose(1, 2) for part in parts)
    return q, k, v


def attend_with_prefix(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention (c, h, s, d/h) over a shared prefix and each class's own suffix.

    `q`, `k` and `v` (c, h, s, d/h) are of the suffixes, `keys` and `values` (1, h, p, d/h) of the
    prefix, which every suffix token sees. The products are spelled out because
    `scaled_dot_product_attention` needs a copy of the prefix for each class, and the copies (17
    tokens for a name of 5) would be most of the memory kept for the backward pass.
    """
    (c, h, s, width), p = q.shape, keys.shape[2]
    rows = q.transpose(0, 1).reshape(h, c * s, width)  # all classes at once against the prefix
    prefix_scores = (rows @ keys[0].transpose(1, 2)).view(h, c, s, p).transpose(0, 1)
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    suffix_scores = (q @ k.transpose(2, 3)).masked_fill(later, -torch.inf)  # (c, h, s, s)
    scores = torch.cat([prefix_scores, suffix_scores], 3) * width**-0.5
    dtype = torch.promote_types(q.dtype, torch.float32)  # as the fused kernels do
    weights = scores.softmax(-1, dtype=dtype).to(q.dtype)
    from_prefix = weights[..., :p].transpose(0, 1).reshape(h, c * s, p) @ values[0]
    return from_prefix.view(h, c, s, width).transpose(0, 1) + weights[..., p:] @ v


def finish_block(block: Any, x: Tensor, heads: Tensor) -> Tensor:
    """The output (b, l, d) of a block: attention's output projection, the MLP, both residuals.

    `x` (b, l, d) is the residual stream, `heads` (b, h, l, d/h) the output of the attention heads.
    """
    x = x + block.ls_1(block.attn.out_proj(heads.transpose(1, 2).flatten(2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def normalise(features: Tensor) -> Tensor:
    """Features (..., e) as unit vectors, in float32 or wider."""
    return F.normalize(at_least_float32(features), dim=-1)


def at_least_float32(features: Tensor) -> Tensor:
    """The tensor in float32, or unchanged if it is float64."""
    return features.to(torch.promote_types(features.dtype, torch.float32))
