"""The residual blocks of open_clip: norm, attention, norm, MLP."""

from __future__ import annotations

from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import torch.nn.functional as F
from open_clip.transformer import (
    Attention,
    CustomResidualAttentionBlock,
    ResidualAttentionBlock,
)
from torch import Tensor, nn

from rppbench.contracts.towers import Blocks


class OpenClipBlocks(Blocks):
    """`ResidualAttentionBlock`, with torch's multi-head attention: the block of CLIP."""

    def obstacle(self, block: Any) -> str | None:
        if type(block) is not ResidualAttentionBlock or hasattr(block, "ln_1_kv"):
            return f"its blocks are {type(block).__name__}, with an attention of their own"
        attention = block.attn
        if type(attention) is not nn.MultiheadAttention or attention.in_proj_weight is None:
            return f"its attention is a {type(attention).__name__}"
        return None

    def enter(self, block: Any, x: Tensor) -> Tensor:
        return block.ln_1(x)

    def project(self, block: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return project_together(q, k, v, block.attn.in_proj_weight, block.attn.in_proj_bias)

    def heads(
        self, block: Any, q: Tensor, k: Tensor, v: Tensor, positions: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        return split_heads(q, k, v, block.attn.num_heads)

    def output(self, block: Any, mixed: Tensor) -> Tensor:
        return block.attn.out_proj(mixed)

    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        x = x + block.ls_1(attended)
        return x + block.ls_2(block.mlp(block.ln_2(x)))


class OpenClipCustomBlocks(OpenClipBlocks):
    """`CustomResidualAttentionBlock`: more norms, and factors of the heads."""

    def obstacle(self, block: Any) -> str | None:
        if type(block) is not CustomResidualAttentionBlock or type(block.attn) is not Attention:
            return f"its blocks are {type(block).__name__}, with an attention of their own"
        if block.attn.scaled_cosine:
            return "its attention takes cosines of queries and keys"
        return None

    def heads(
        self, block: Any, q: Tensor, k: Tensor, v: Tensor, positions: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = split_heads(q, k, v, block.attn.num_heads)
        return block.attn.ln_q(q), block.attn.ln_k(k), v

    def merge(self, block: Any, heads: Tensor) -> Tensor:
        if block.attn.head_scale is not None:
            heads = heads * block.attn.head_scale
        return block.attn.ln_inner(super().merge(block, heads))

    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        return super().leave(block, x, block.ln_attn(attended))


def open_clip_blocks(blocks: Any) -> Blocks:
    """The steps of these blocks, by the type of the first one."""
    custom = type(next(iter(blocks))) is CustomResidualAttentionBlock
    return OpenClipCustomBlocks() if custom else OpenClipBlocks()


def project_together(
    q: Tensor, k: Tensor, v: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Projections (b, l, i) by one matrix (3 i, d) that holds those of q, k and v."""
    if q is k is v:
        q, k, v = F.linear(q, weight, bias).chunk(3, -1)
        return q, k, v
    biases = (None, None, None) if bias is None else bias.chunk(3)
    inputs = zip((q, k, v), weight.chunk(3), biases, strict=True)
    q, k, v = (F.linear(x, w, b) for x, w, b in inputs)
    return q, k, v


def split_heads(q: Tensor, k: Tensor, v: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Projections (b, l, i) as `count` heads (b, h, l, i/h)."""
    q, k, v = (part.unflatten(-1, (count, -1)).transpose(1, 2) for part in (q, k, v))
    return q, k, v
