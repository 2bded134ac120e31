"""The blocks of transformers' text models: BERT and RoBERTa, mT5's encoder, M2M100's (NLLB).

transformers is not imported: a block is known by the `model_type` of its model's configuration.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rppbench.contracts.towers import Blocks
from rppbench.models.towers.open_clip_blocks import split_heads


class BertBlocks(Blocks):
    """Norms behind attention and MLP; a layer sees the stream itself."""

    def obstacle(self, block: Any) -> str | None:
        own = getattr(block.attention, "self", None)
        if not hasattr(own, "query") or getattr(block, "is_decoder", False):
            return f"its layers are {type(block).__name__}, not those of a plain encoder"
        if getattr(own, "position_embedding_type", None) not in (None, "absolute"):
            return "its attention has relative positions of its own"
        return None

    def enter(self, block: Any, x: Tensor) -> Tensor:
        return x

    def project(self, block: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        own = block.attention.self
        return own.query(q), own.key(k), own.value(v)

    def heads(
        self, block: Any, q: Tensor, k: Tensor, v: Tensor, positions: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        return split_heads(q, k, v, block.attention.self.num_attention_heads)

    def output(self, block: Any, mixed: Tensor) -> Tensor:
        return block.attention.output.dense(mixed)

    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        return block.feed_forward_chunk(block.attention.output.LayerNorm(attended + x))


class T5Blocks(Blocks):
    """Norms of root mean squares; products of queries and keys are not scaled."""

    scale = 1.0

    def obstacle(self, block: Any) -> str | None:
        attention = getattr(block.layer[0], "SelfAttention", None)
        if attention is None or attention.is_decoder:
            return f"its layers are {type(block).__name__}, not those of an encoder"
        return None

    def enter(self, block: Any, x: Tensor) -> Tensor:
        return block.layer[0].layer_norm(x)

    def project(self, block: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        own = block.layer[0].SelfAttention
        return own.q(q), own.k(k), own.v(v)

    def heads(
        self, block: Any, q: Tensor, k: Tensor, v: Tensor, positions: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        return split_heads(q, k, v, block.layer[0].SelfAttention.n_heads)

    def output(self, block: Any, mixed: Tensor) -> Tensor:
        return block.layer[0].SelfAttention.o(mixed)

    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        return finite(block.layer[-1](finite(x + attended)))


class M2MBlocks(Blocks):
    """Norm, attention, norm, MLP, with separate projections."""

    def obstacle(self, block: Any) -> str | None:
        if not hasattr(getattr(block, "self_attn", None), "q_proj"):
            return f"its layers are {type(block).__name__}, with an attention of their own"
        return None

    def enter(self, block: Any, x: Tensor) -> Tensor:
        return block.self_attn_layer_norm(x)

    def project(self, block: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        own = block.self_attn
        return own.q_proj(q), own.k_proj(k), own.v_proj(v)

    def heads(
        self, block: Any, q: Tensor, k: Tensor, v: Tensor, positions: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        return split_heads(q, k, v, block.self_attn.num_heads)

    def output(self, block: Any, mixed: Tensor) -> Tensor:
        return block.self_attn.out_proj(mixed)

    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        x = x + attended
        inner = block.activation_fn(block.fc1(block.final_layer_norm(x)))
        return finite(x + block.fc2(inner))


def finite(x: Tensor) -> Tensor:
    """float16 clamped to finite numbers, as transformers does; other types unchanged."""
    if x.dtype != torch.float16:
        return x
    most = torch.finfo(x.dtype).max - 1000
    return x.clamp(-most, most)
