"""timm's Eva: EVA01, EVA02 and PE-Core, with rotary positions and blocks of either norm order."""

from __future__ import annotations

from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before timm, which imports torchvision

# isort: split
import torch
from timm.layers import AttentionRope, apply_rot_embed_cat
from timm.models.eva import Eva, EvaAttention, EvaBlock, EvaBlockPostNorm
from torch import Tensor

from rppbench.contracts.towers import Blocks, Embedded
from rppbench.models.towers.open_clip_blocks import project_together
from rppbench.models.towers.timm_vit import TimmImage


class EvaBlocks(Blocks):
    """`EvaBlock`: norm, attention, norm, MLP. Rotary positions are those of the patches alone."""

    block_type: type[Any] = EvaBlock

    def obstacle(self, block: Any) -> str | None:
        if type(block) is not self.block_type:
            return f"its blocks are timm's {type(block).__name__}"
        attention = block.attn
        if type(attention) not in (EvaAttention, AttentionRope):
            return f"its attention is timm's {type(attention).__name__}"
        gate = getattr(attention, "gate", None)  # older versions of timm have none
        return None if gate is None else "its attention is gated"

    def enter(self, block: Any, x: Tensor) -> Tensor:
        return block.norm1(x)

    def project(self, block: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        attention = block.attn
        if attention.qkv is None:
            return attention.q_proj(q), attention.k_proj(k), attention.v_proj(v)
        bias = attention.qkv.bias
        if (own := getattr(attention, "q_bias", None)) is not None:
            bias = torch.cat((own, attention.k_bias, attention.v_bias))
        return project_together(q, k, v, attention.qkv.weight, bias)

    def heads(
        self, block: Any, q: Tensor, k: Tensor, v: Tensor, positions: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        attention = block.attn
        # Keys and values may have fewer heads than queries.
        q, k, v = (
            part.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2) for part in (q, k, v)
        )
        q, k = attention.q_norm(q), attention.k_norm(k)
        if positions is not None:
            half = getattr(attention, "rotate_half", False)
            first = attention.num_prefix_tokens
            last = first + positions.shape[-2]  # learned tokens stand behind and are not rotated
            q, k = (
                torch.cat(
                    [
                        part[:, :, :first],
                        apply_rot_embed_cat(part[:, :, first:last], positions, half=half),
                        part[:, :, last:],
                    ],
                    2,
                ).type_as(v)
                for part in (q, k)
            )
        if (groups := getattr(attention, "num_kv_groups", 1)) > 1:
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        return q, k, v

    def merge(self, block: Any, heads: Tensor) -> Tensor:
        return block.attn.norm(super().merge(block, heads))

    def output(self, block: Any, mixed: Tensor) -> Tensor:
        return block.attn.proj(mixed)

    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        x = x + (attended if block.gamma_1 is None else block.gamma_1 * attended)
        inner = block.mlp(block.norm2(x))
        return x + (inner if block.gamma_2 is None else block.gamma_2 * inner)


class EvaPostNormBlocks(EvaBlocks):
    """`EvaBlockPostNorm` (EVA02-E): norms at the ends of attention and MLP."""

    block_type = EvaBlockPostNorm

    def enter(self, block: Any, x: Tensor) -> Tensor:
        return x

    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        x = x + block.norm1(attended)
        return x + block.norm2(block.mlp(x))


class TimmEva(TimmImage):
    """`Eva`, with or without rotary positions."""

    trunk_type = Eva

    @classmethod
    def obstacle(cls, visual: Any) -> str | None:
        blocks = visual.trunk.blocks
        return super().obstacle(visual) or eva_blocks(blocks).first_obstacle(blocks)

    def __init__(self, visual: Any) -> None:
        super().__init__(visual)
        self.steps = eva_blocks(self.blocks)

    def embed(self, images: Tensor) -> Embedded:
        trunk = self.trunk
        return self._embedded(*trunk._pos_embed(trunk.patch_embed(images)))

    def embed_grid(self, images: Tensor) -> Embedded:
        tokens, grid = self.patch_tokens(images)
        rope = self.trunk.rope
        rotations = None if rope is None else rope.get_embed(shape=list(grid))
        return self._embedded(self.with_positions(tokens, grid), rotations)

    def _embedded(self, x: Tensor, rotations: Tensor | None) -> Embedded:
        positions: list[Tensor | None] = [rotations] * len(self.blocks)
        if rotations is not None and getattr(self.trunk, "rope_mixed", False):
            positions = list(rotations)  # of each block
        return Embedded(self.trunk.norm_pre(x), positions)


def eva_blocks(blocks: Any) -> EvaBlocks:
    """The steps of these blocks, by the type of the first one."""
    post = type(next(iter(blocks))) is EvaBlockPostNorm
    return EvaPostNormBlocks() if post else EvaBlocks()
