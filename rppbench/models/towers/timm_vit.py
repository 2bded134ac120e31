"""timm's vision transformer: SigLIP, SigLIP2, MobileCLIP (B, L), and ViTamin behind its stem."""

from __future__ import annotations

from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import torch
from open_clip.timm_model import TimmModel
from timm.layers import PatchEmbed, resample_abs_pos_embed
from timm.layers.hybrid_embed import HybridEmbed
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn

from rppbench.contracts.towers import Blocks, Embedded, ImageKind
from rppbench.models.towers.open_clip_blocks import project_together, split_heads


class TimmBlocks(Blocks):
    """timm's `Block`: norm, attention, norm, MLP."""

    def obstacle(self, block: Any) -> str | None:
        if type(block) is not Block:
            return f"its blocks are timm's {type(block).__name__}"
        if type(block.attn) is not Attention:
            return f"its attention is timm's {type(block.attn).__name__}"
        gate = getattr(block.attn, "gate", None)  # older versions of timm have none
        return None if gate is None else "its attention is gated"

    def enter(self, block: Any, x: Tensor) -> Tensor:
        return block.norm1(x)

    def project(self, block: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return project_together(q, k, v, block.attn.qkv.weight, block.attn.qkv.bias)

    def heads(
        self, block: Any, q: Tensor, k: Tensor, v: Tensor, positions: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = split_heads(q, k, v, block.attn.num_heads)
        return block.attn.q_norm(q), block.attn.k_norm(k), v

    def merge(self, block: Any, heads: Tensor) -> Tensor:
        return block.attn.norm(super().merge(block, heads))

    def output(self, block: Any, mixed: Tensor) -> Tensor:
        return block.attn.proj(mixed)

    def leave(self, block: Any, x: Tensor, attended: Tensor) -> Tensor:
        x = x + block.ls1(attended)
        return x + block.ls2(block.mlp(block.norm2(x)))


class TimmImage(ImageKind):
    """What timm's transformers over patches have in common. `trunk` is timm's module."""

    trunk_type: type[nn.Module]

    @classmethod
    def takes(cls, visual: nn.Module) -> bool:
        return isinstance(visual, TimmModel) and type(visual.trunk) is cls.trunk_type

    @classmethod
    def obstacle(cls, visual: Any) -> str | None:
        trunk = visual.trunk
        if not isinstance(trunk.patch_embed, (PatchEmbed, HybridEmbed)):
            return f"its patches come from timm's {type(trunk.patch_embed).__name__}"
        if len(getattr(visual.head, "pool", ())):
            return "it reads its feature through a pooling over the grid of patches"
        if trunk.attn_pool is None and not trunk.global_pool:
            return "it reads no single feature"
        return None

    def __init__(self, visual: Any) -> None:
        self.visual, self.trunk = visual, visual.trunk
        self.blocks, self.width = self.trunk.blocks, self.trunk.embed_dim
        patches = self.trunk.patch_embed
        ratio = patches.feature_ratio[0] if isinstance(patches, HybridEmbed) else 1
        self.patch = int(ratio * patches.patch_size[0])

    def enter(self, tokens: Tensor) -> Tensor:
        return self.trunk.norm_pre(tokens)

    def read(self, x: Tensor) -> Tensor:
        return self.visual.head(self.trunk.forward_head(self.trunk.norm(x)))

    def read_patches(self, x: Tensor) -> Tensor:
        trunk = self.trunk
        x = trunk.norm(x[:, trunk.num_prefix_tokens :])
        if trunk.attn_pool is not None:
            # A patch by itself, as in the last block: it is all that the pooling attends to.
            x = trunk.attn_pool(x.flatten(0, 1)[:, None]).unflatten(0, x.shape[:2])
        return self.visual.head(trunk.head(trunk.fc_norm(x)))

    def patch_tokens(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens (b, patches, d) of images of any size, and the grid that they form."""
        patches = self.trunk.patch_embed
        if isinstance(patches, HybridEmbed):
            maps = patches.backbone(images)  # of each stage, or of the last one alone
            grid = patches.proj(maps[-1] if isinstance(maps, (list, tuple)) else maps)
            norm: nn.Module = nn.Identity()
        else:
            grid, norm = patches.proj(images), patches.norm
        rows, columns = grid.shape[-2:]
        return norm(grid.flatten(2).transpose(1, 2)), (rows, columns)

    def with_positions(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """The tokens behind class and register tokens, with positions for another grid."""
        trunk = self.trunk
        special = [part for part in (trunk.cls_token, trunk.reg_token) if part is not None]
        special = [part.expand(tokens.shape[0], -1, -1) for part in special]
        positions = trunk.pos_embed
        if positions is not None and tuple(trunk.patch_embed.grid_size) != grid:
            positions = resample_abs_pos_embed(
                positions,
                new_size=list(grid),
                old_size=list(trunk.patch_embed.grid_size),
                num_prefix_tokens=0 if trunk.no_embed_class else trunk.num_prefix_tokens,
            )
        if positions is None:
            return torch.cat([*special, tokens], 1)
        if trunk.no_embed_class:
            return torch.cat([*special, tokens + positions], 1)
        return torch.cat([*special, tokens], 1) + positions


class TimmVit(TimmImage):
    """`VisionTransformer` with plain blocks, whatever makes its patches and pools them."""

    steps = TimmBlocks()
    trunk_type = VisionTransformer

    @classmethod
    def obstacle(cls, visual: Any) -> str | None:
        return super().obstacle(visual) or cls.steps.first_obstacle(visual.trunk.blocks)

    def embed(self, images: Tensor) -> Embedded:
        trunk = self.trunk
        return self._embedded(trunk._pos_embed(trunk.patch_embed(images)))

    def embed_grid(self, images: Tensor) -> Embedded:
        return self._embedded(self.with_positions(*self.patch_tokens(images)))

    def _embedded(self, x: Tensor) -> Embedded:
        return Embedded(self.trunk.norm_pre(x), [None] * len(self.blocks))
