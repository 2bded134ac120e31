"""open_clip's own vision transformer: the image tower of OpenAI's, LAION's and Meta's CLIP."""

from __future__ import annotations

from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import torch
import torch.nn.functional as F
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from rppbench.contracts.towers import Embedded, ImageKind
from rppbench.models.blocks import at_least_float32
from rppbench.models.towers.open_clip_blocks import open_clip_blocks


class OpenClipImage(ImageKind):
    """A class token before the patches, and a norm before the blocks; read at the class token, as
    a mean, or through an attention pooler (CoCa)."""

    @classmethod
    def takes(cls, visual: nn.Module) -> bool:
        return type(visual) is VisionTransformer

    @classmethod
    def obstacle(cls, visual: Any) -> str | None:
        if visual.pool_type == "none":
            return "it reads no single feature"
        blocks = visual.transformer.resblocks
        return open_clip_blocks(blocks).first_obstacle(blocks)

    def __init__(self, visual: Any) -> None:
        self.visual = visual
        self.blocks = visual.transformer.resblocks
        self.steps = open_clip_blocks(self.blocks)
        self.width = visual.conv1.out_channels
        self.patch = int(visual.conv1.kernel_size[0])

    def embed(self, images: Tensor) -> Embedded:
        return self._embedded(self.visual._embeds(images))

    def embed_grid(self, images: Tensor) -> Embedded:
        visual = self.visual
        rows, columns = (side // self.patch for side in images.shape[-2:])
        tokens = visual.conv1(images).flatten(2).transpose(1, 2)  # (b, rows * columns, d)
        x = torch.cat([visual.class_embedding.to(tokens).expand(tokens.shape[0], 1, -1), tokens], 1)
        return self._embedded(visual.ln_pre(x + position_embeddings(visual, rows, columns).to(x)))

    def enter(self, tokens: Tensor) -> Tensor:
        # ln_pre normalises each token by itself, so tokens appended later change no other.
        return self.visual.ln_pre(tokens)

    def read(self, x: Tensor) -> Tensor:
        pooled, _ = self.visual._pool(x)
        return self._project(pooled)

    def read_patches(self, x: Tensor) -> Tensor:
        visual, x = self.visual, x[:, 1:]
        if visual.attn_pool is None:
            return self._project(visual.ln_post(x))
        # A patch by itself, as in the last block: it is all that the pooler attends to.
        pooled, _ = visual._pool(x.flatten(0, 1)[:, None])
        return self._project(pooled).unflatten(0, x.shape[:2])

    def _embedded(self, x: Tensor) -> Embedded:
        return Embedded(x, [None] * len(self.blocks))

    def _project(self, x: Tensor) -> Tensor:
        return x if self.visual.proj is None else x @ self.visual.proj


def position_embeddings(visual: Any, rows: int, columns: int) -> Tensor:
    """Position embeddings (1 + rows * columns, d): the class token's, then the patches'."""
    class_token, patches = visual.positional_embedding[:1], visual.positional_embedding[1:]
    trained_grid = visual.grid_size
    if tuple(trained_grid) == (rows, columns):
        return visual.positional_embedding
    grid = at_least_float32(patches).T.unflatten(1, trained_grid)[None]
    resized = F.interpolate(grid, (rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([class_token, resized[0].flatten(1).T.to(class_token)])
