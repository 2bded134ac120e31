"""The image tower with a method's tokens."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.prompts import Prompt
from rppbench.errors import UsageError
from rppbench.models.blocks import Leave, enter, leave, project, unit, wide
from rppbench.models.memory import warn_of, with_less
from rppbench.models.support import image_obstacle, weight_dtype

FULL = 16
"""Images of a batch from which on, as measured, rounding does not depend on how many there are."""


class ImageTower:
    """Images with learned tokens behind the patches, to unit features."""

    def __init__(self, model: Any, name: str = "this backbone") -> None:
        self.model, self.visual, self.name = model, model.visual, name
        self.obstacle = image_obstacle(model.visual)
        """Why the tower cannot be prompted; None if it can."""
        self.leave: Leave = leave
        self.images_encoded = 0
        """Images that have passed the tower so far."""
        self.most: int | None = None
        """Images at once, where no gradient is needed; None leaves it to the caller."""

    def encode(
        self, images: Tensor, prompt: Prompt | None = None, *, alone: bool = False
    ) -> Tensor:
        """Unit features (b, e) of images (b, 3, height, width).

        `alone` (without a prompt) fills a small batch up, so that an image's features are the same
        to the last bit whichever others are with it: matrix products of few rows take other paths.
        UsageError if there is a prompt and the tower takes none.
        """
        self.images_encoded += len(images)
        if torch.is_grad_enabled() and prompt is not None:
            return self._encode(images, prompt, alone)  # the backward pass needs all of it anyway
        return with_less(self, lambda: self._in_parts(images, prompt, alone))

    def _in_parts(self, images: Tensor, prompt: Prompt | None, alone: bool) -> Tensor:
        parts = images.split(self.most or max(1, len(images)))
        # Parts are as large as memory allows: what fills a small one up must fit too.
        alone = alone and (self.most or FULL) >= FULL
        return torch.cat([self._encode(part, prompt, alone) for part in parts])

    def shrink(self) -> bool:
        """Halve the number of images at once; False at one."""
        if self.most == 1:
            return False
        self.most = (self.most or 256) // 2
        warn_of(self.most, "images")
        return True

    def _encode(self, images: Tensor, prompt: Prompt | None, alone: bool) -> Tensor:
        weight = next(self.visual.parameters())
        images = images.to(weight.device, weight_dtype(self.visual))
        if alone and len(images) < FULL:
            filling = images.new_zeros(FULL - len(images), *images.shape[1:])
            return unit(self.model.encode_image(torch.cat([images, filling]))[: len(images)])
        if prompt is None:
            return unit(self.model.encode_image(images))
        if self.obstacle:
            raise UsageError(f"the image tower of {self.name} cannot be prompted: {self.obstacle}")
        visual = self.visual
        x = visual._embeds(images)  # (b, 1 + patches, d), normalised by ln_pre
        slot = x.shape[1]
        # ln_pre works on each token alone, so appending behind it changes nothing.
        learned = visual.ln_pre(prompt.input.to(x))
        x = torch.cat([x, learned.expand(len(x), -1, -1)], 1)
        for i, block in enumerate(visual.transformer.resblocks):
            x, *inputs = enter(block, i, x, prompt, slot)
            x = self.leave(block, x, F.scaled_dot_product_attention(*project(block.attn, *inputs)))
        pooled, _ = visual._pool(x[:, :slot])
        return unit(pooled if visual.proj is None else pooled @ visual.proj)

    @property
    def patch(self) -> int:
        """Pixels of a patch's side. UsageError for a tower that has no patches to read."""
        if self.obstacle:
            raise UsageError(f"the image tower of {self.name} has no patches: {self.obstacle}")
        return int(self.visual.conv1.kernel_size[0])

    def patches(self, images: Tensor, prompt: Prompt | None = None) -> Tensor:
        """Unit features (b, rows, columns, e) of the patches of images (b, 3, height, width).

        In the last block every token keeps its own values: attention is left out, residuals and
        the rest stay (Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022; chongzhou96/
        MaskCLIP `mmseg/models/backbones/vit.py`). Sides are multiples of `patch`; positions are
        interpolated where they are not those of training.
        """
        side, visual = self.patch, self.visual
        rows, columns = images.shape[-2] // side, images.shape[-1] // side
        images = images.to(visual.conv1.weight.device, weight_dtype(visual))
        self.images_encoded += len(images)
        tokens = visual.conv1(images).flatten(2).transpose(1, 2)  # (b, rows * columns, d)
        x = torch.cat([visual.class_embedding.to(tokens).expand(len(tokens), 1, -1), tokens], 1)
        x = visual.ln_pre(x + positions(visual, rows, columns).to(x))
        slot = x.shape[1]
        if prompt is not None:
            x = torch.cat([x, visual.ln_pre(prompt.input.to(x)).expand(len(x), -1, -1)], 1)
        prompt = prompt or Prompt(x.new_empty(0, x.shape[2]))
        *blocks, last = visual.transformer.resblocks
        for i, block in enumerate(blocks):
            x, *inputs = enter(block, i, x, prompt, slot)
            x = self.leave(block, x, F.scaled_dot_product_attention(*project(block.attn, *inputs)))
        x, *inputs = enter(last, len(blocks), x, prompt, slot)
        x = self.leave(last, x, project(last.attn, *inputs)[2])[:, 1:slot]
        x = visual.ln_post(x)
        x = x if visual.proj is None else x @ visual.proj
        return unit(x).unflatten(1, (rows, columns))


def positions(visual: Any, rows: int, columns: int) -> Tensor:
    """Embeddings (1 + rows * columns, d) of the class token's and of the patches' positions."""
    own, grid = visual.positional_embedding[:1], visual.positional_embedding[1:]
    known = visual.grid_size
    if tuple(known) == (rows, columns):
        return visual.positional_embedding
    square = wide(grid).T.unflatten(1, known)[None]
    resized = F.interpolate(square, (rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([own, resized[0].flatten(1).T.to(own)])
