"""What the towers do with open_clip's residual blocks, step by step, so that tokens can enter.

Shapes: b sequences, c classes, s suffix tokens, p prefix tokens, l tokens, m tokens that replace
others, d width, h heads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.prompts import Prompt

Leave = Callable[[Any, Tensor, Tensor], Tensor]
"""The function `leave`, or what a compiler made of it."""


def enter(
    block: Any, i: int, x: Tensor, prompt: Prompt, slot: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The stream (b, l, d) with block i's vectors in place, and what q, k and v are made of."""
    if i in prompt.stream:
        x = overwrite(x, prompt.stream[i], slot)
    y = block.ln_1(x)
    q, k, v = (
        overwrite(y, block.ln_1(given[i].to(x)), slot) if i in given else y
        for given in (prompt.queries, prompt.keys, prompt.values)
    )
    return x, q, k, v


def overwrite(x: Tensor, learned: Tensor, slot: int) -> Tensor:
    """(b, l, d) with rows from `slot` on replaced by (m, d)."""
    learned = learned.to(x).expand(len(x), -1, -1)
    return torch.cat([x[:, :slot], learned, x[:, slot + learned.shape[1] :]], 1)


def project(attention: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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


def attend_behind(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention (c, h, s, d/h) of q, k, v behind a prefix (1, h, p, d/h), which all see.

    Spelled out because `scaled_dot_product_attention` wants the prefix copied for each class,
    and the copies (17 tokens for a name of 5) would be most of what the backward pass keeps.
    """
    (c, h, s, width), p = q.shape, keys.shape[2]
    rows = q.transpose(0, 1).reshape(h, c * s, width)  # all classes at once against the prefix
    before = (rows @ keys[0].transpose(1, 2)).view(h, c, s, p).transpose(0, 1)
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    own = (q @ k.transpose(2, 3)).masked_fill(later, -torch.inf)  # (c, h, s, s)
    scores = torch.cat([before, own], 3) * width**-0.5
    wide = torch.promote_types(q.dtype, torch.float32)  # as the fused kernels do
    weights = scores.softmax(-1, dtype=wide).to(q.dtype)
    seen = weights[..., :p].transpose(0, 1).reshape(h, c * s, p) @ values[0]
    return seen.view(h, c, s, width).transpose(0, 1) + weights[..., p:] @ v


def leave(block: Any, x: Tensor, heads: Tensor) -> Tensor:
    """The rest of a residual block, once attention has mixed its heads (b, h, l, d/h)."""
    x = x + block.ls_1(block.attn.out_proj(heads.transpose(1, 2).flatten(2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def unit(features: Tensor) -> Tensor:
    """Rows of length one, in float32 at least."""
    return F.normalize(wide(features), dim=-1)


def wide(features: Tensor) -> Tensor:
    """In float32 at least."""
    return features.to(torch.promote_types(features.dtype, torch.float32))
