"""The frozen image tower: learned tokens enter behind the patches and in each block.

`ImageTower._run_prompted` appends `Prompt.input` to the patch tokens, and
`prompt_insertion.insert_prompt` writes the vectors for each block into those rows.

Shapes: b images, d width of the tower, e width of the embedding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.prompts import Prompt
from rppbench.errors import UsageError
from rppbench.models.architecture import image_obstacle, weight_dtype
from rppbench.models.blocks import (
    FinishBlock,
    at_least_float32,
    finish_block,
    normalise,
    project_qkv,
)
from rppbench.models.out_of_memory import retry_with_less_memory, warn_of_smaller_groups
from rppbench.models.prompt_insertion import insert_prompt

FULL_BATCH = 16
"""Measured: from this many images on, rounding does not depend on the number of images."""


class ImageTower:
    """Encodes images, optionally with learned tokens behind the patches, as unit features."""

    def __init__(self, model: Any, name: str = "this backbone") -> None:
        self.model, self.visual, self.name = model, model.visual, name
        self.obstacle = image_obstacle(model.visual)
        """Why the tower cannot be prompted; None if it can."""
        self.finish_block: FinishBlock = finish_block
        self.images_encoded = 0
        """Images that have passed the tower so far."""
        self.max_images: int | None = None
        """Maximum images encoded at once where no gradient is needed; None: all of a call."""

    def encode(
        self, images: Tensor, prompt: Prompt | None = None, *, batch_invariant: bool = False
    ) -> Tensor:
        """Unit features (b, e) of images (b, 3, height, width).

        `batch_invariant` (without a prompt) pads a small batch, so that an image's features are
        the same to the last bit whatever the rest of the batch: matrix products of few rows are
        computed in another order. UsageError if there is a prompt and the tower cannot take it.
        """
        self.images_encoded += len(images)
        if torch.is_grad_enabled() and prompt is not None:
            # The backward pass needs all activations anyway.
            return self._encode_at_once(images, prompt, batch_invariant)
        return retry_with_less_memory(
            self, lambda: self._encode_in_groups(images, prompt, batch_invariant)
        )

    def _encode_in_groups(
        self, images: Tensor, prompt: Prompt | None, batch_invariant: bool
    ) -> Tensor:
        groups = images.split(self.max_images or max(1, len(images)))
        # Groups are as large as memory allows: the padding of a small one must fit too.
        batch_invariant = batch_invariant and (self.max_images or FULL_BATCH) >= FULL_BATCH
        return torch.cat([self._encode_at_once(group, prompt, batch_invariant) for group in groups])

    def shrink(self) -> bool:
        """Halve `max_images`; False if it is 1 already."""
        if self.max_images == 1:
            return False
        self.max_images = (self.max_images or 256) // 2
        warn_of_smaller_groups(self.max_images, "images")
        return True

    def _encode_at_once(
        self, images: Tensor, prompt: Prompt | None, batch_invariant: bool
    ) -> Tensor:
        weight = next(self.visual.parameters())
        images = images.to(weight.device, weight_dtype(self.visual))
        if batch_invariant and len(images) < FULL_BATCH:
            padding = images.new_zeros(FULL_BATCH - len(images), *images.shape[1:])
            return normalise(self.model.encode_image(torch.cat([images, padding]))[: len(images)])
        if prompt is None:
            return normalise(self.model.encode_image(images))
        return self._run_prompted(images, prompt)

    def _run_prompted(self, images: Tensor, prompt: Prompt) -> Tensor:
        """Unit features (b, e) of images with learned tokens behind the patches."""
        if self.obstacle:
            raise UsageError(f"the image tower of {self.name} cannot be prompted: {self.obstacle}")
        visual = self.visual
        x = visual._embeds(images)  # (b, 1 + patches, d), normalised by ln_pre
        slot = x.shape[1]
        # ln_pre normalises each token by itself, so tokens appended later change no other.
        learned = visual.ln_pre(prompt.input.to(x))
        x = torch.cat([x, learned.expand(len(x), -1, -1)], 1)
        for i, block in enumerate(visual.transformer.resblocks):
            x, *inputs = insert_prompt(block, i, x, prompt, slot)
            heads = F.scaled_dot_product_attention(*project_qkv(block.attn, *inputs))
            x = self.finish_block(block, x, heads)
        pooled, _ = visual._pool(x[:, :slot])
        return normalise(pooled if visual.proj is None else pooled @ visual.proj)

    @property
    def patch(self) -> int:
        """Side of a patch in pixels. UsageError for a tower without patches."""
        if self.obstacle:
            raise UsageError(f"the image tower of {self.name} has no patches: {self.obstacle}")
        return int(self.visual.conv1.kernel_size[0])

    def patches(self, images: Tensor, prompt: Prompt | None = None) -> Tensor:
        """Unit features (b, rows, columns, e) of the patches of images (b, 3, height, width).

        In the last block every token keeps its own values: attention is left out, the residual
        connections and the MLP stay (Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022;
        chongzhou96/MaskCLIP `mmseg/models/backbones/vit.py`). Sides are multiples of `patch`.
        Position embeddings are interpolated for a grid other than that of training. UsageError for
        a tower without patches.
        """
        side, visual = self.patch, self.visual
        rows, columns = images.shape[-2] // side, images.shape[-1] // side
        images = images.to(visual.conv1.weight.device, weight_dtype(visual))
        self.images_encoded += len(images)
        tokens = visual.conv1(images).flatten(2).transpose(1, 2)  # (b, rows * columns, d)
        x = torch.cat([visual.class_embedding.to(tokens).expand(len(tokens), 1, -1), tokens], 1)
        x = visual.ln_pre(x + position_embeddings(visual, rows, columns).to(x))
        slot = x.shape[1]
        if prompt is not None:
            x = torch.cat([x, visual.ln_pre(prompt.input.to(x)).expand(len(x), -1, -1)], 1)
        prompt = prompt or Prompt(x.new_empty(0, x.shape[2]))
        *blocks, last = visual.transformer.resblocks
        for i, block in enumerate(blocks):
            x, *inputs = insert_prompt(block, i, x, prompt, slot)
            heads = F.scaled_dot_product_attention(*project_qkv(block.attn, *inputs))
            x = self.finish_block(block, x, heads)
        x, *inputs = insert_prompt(last, len(blocks), x, prompt, slot)
        _, _, values = project_qkv(last.attn, *inputs)
        x = self.finish_block(last, x, values)[:, 1:slot]
        x = visual.ln_post(x)
        x = x if visual.proj is None else x @ visual.proj
        return normalise(x).unflatten(1, (rows, columns))


def position_embeddings(visual: Any, rows: int, columns: int) -> Tensor:
    """Position embeddings (1 + rows * columns, d): the class token's, then the patches'."""
    class_token, patches = visual.positional_embedding[:1], visual.positional_embedding[1:]
    trained_grid = visual.grid_size
    if tuple(trained_grid) == (rows, columns):
        return visual.positional_embedding
    grid = at_least_float32(patches).T.unflatten(1, trained_grid)[None]
    resized = F.interpolate(grid, (rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([class_token, resized[0].flatten(1).T.to(class_token)])
