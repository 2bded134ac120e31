"""The frozen image tower: learned tokens enter behind the patches and in each block.

`ImageTower._run_prompted` appends `Prompt.input` to the patch tokens, and `blocks.enter_block`
writes the vectors for each block into those rows. How the modules compute is up to the tower's kind
(`contracts.towers.ImageKind`).

Shapes: b images, d width of the tower, e width of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rppbench.contracts.prompts import Prompt
from rppbench.contracts.towers import ImageKind
from rppbench.errors import UsageError
from rppbench.models.architecture import weight_dtype
from rppbench.models.blocks import (
    FinishBlock,
    at_least_float32,
    enter_block,
    finish_block,
    leave_block,
    normalise,
    run_block,
)
from rppbench.models.out_of_memory import retry_with_less_memory, warn_of_smaller_groups
from rppbench.models.towers.kinds import Kind, image_kind

FULL_BATCH = 16
"""Measured: from this many images on, rounding does not depend on the number of images."""


class ImageTower:
    """Encodes images, optionally with learned tokens behind the patches, as unit features."""

    def __init__(self, model: Any, name: str = "this backbone", kinds: Sequence[Kind] = ()) -> None:
        self.model, self.visual, self.name = model, model.visual, name
        kind = image_kind(model.visual, kinds)
        self.obstacle = kind if isinstance(kind, str) else None
        """Why the tower cannot be prompted; None if it can."""
        self._kind = None if isinstance(kind, str) else kind
        self.finish_block: FinishBlock = finish_block
        self.images_encoded = 0
        """Images that have passed the tower so far."""
        self.max_images: int | None = None
        """Maximum images encoded at once where no gradient is needed; None: all of a call."""

    def encode(
        self,
        images: Tensor,
        prompt: Prompt | None = None,
        *,
        batch_invariant: bool = False,
        unit: bool = True,
    ) -> Tensor:
        """Unit features (b, e) of images (b, 3, height, width), in float32 or wider.

        With `unit` off they keep the length that the tower gives them. `batch_invariant` (without a
        prompt) pads a small batch, so that an image's features are the same to the last bit
        whatever the rest of the batch: matrix products of few rows are computed in another order.
        UsageError if there is a prompt and the tower cannot take it.
        """
        self.images_encoded += len(images)
        if torch.is_grad_enabled() and prompt is not None:
            # The backward pass needs all activations anyway.
            features = self.encode_at_once(images, prompt, batch_invariant)
        else:
            features = retry_with_less_memory(
                self, lambda: self._encode_in_groups(images, prompt, batch_invariant)
            )
        return normalise(features) if unit else at_least_float32(features)

    def _encode_in_groups(
        self, images: Tensor, prompt: Prompt | None, batch_invariant: bool
    ) -> Tensor:
        groups = images.split(self.max_images or max(1, len(images)))
        # Groups are as large as memory allows: the padding of a small one must fit too.
        batch_invariant = batch_invariant and (self.max_images or FULL_BATCH) >= FULL_BATCH
        return torch.cat([self.encode_at_once(group, prompt, batch_invariant) for group in groups])

    def shrink(self) -> bool:
        """Halve `max_images`; False if it is 1 already."""
        if self.max_images == 1:
            return False
        self.max_images = (self.max_images or 256) // 2
        warn_of_smaller_groups(self.max_images, "images")
        return True

    def encode_at_once(
        self, images: Tensor, prompt: Prompt | None = None, batch_invariant: bool = False
    ) -> Tensor:
        """Features (b, e) as `encode`, of any length and type, in one pass that torch can trace."""
        weight = next(self.visual.parameters())
        images = images.to(weight.device, weight_dtype(self.visual))
        if prompt is not None:
            return self._run_prompted(images, prompt)
        padded = images
        if batch_invariant and len(images) < FULL_BATCH:
            padding = images.new_zeros(FULL_BATCH - len(images), *images.shape[1:])
            padded = torch.cat([images, padding])
        features: Tensor = self.model.encode_image(padded)
        return features[: images.shape[0]]

    @property
    def kind(self) -> ImageKind:
        """The steps of the tower. UsageError if it cannot be prompted."""
        if self._kind is None:
            raise UsageError(f"the image tower of {self.name} cannot be prompted: {self.obstacle}")
        return self._kind

    def _run_prompted(self, images: Tensor, prompt: Prompt) -> Tensor:
        """Features (b, e) of images with learned tokens behind the patches."""
        kind = self.kind
        embedded = kind.embed(images)
        slot = embedded.x.shape[1]
        x = self._append(embedded.x, prompt)
        for i, (block, positions) in enumerate(zip(kind.blocks, embedded.positions, strict=True)):
            x = run_block(
                kind.steps, block, i, x, prompt, slot, self.finish_block, positions=positions
            )
        return kind.read(x[:, :slot])

    def _append(self, x: Tensor, prompt: Prompt) -> Tensor:
        """x (b, l, d) and the prompt's tokens behind it, as they enter the first block."""
        learned = self.kind.enter(prompt.input.to(x))
        return torch.cat([x, learned.expand(x.shape[0], -1, -1)], 1)

    @property
    def patch(self) -> int:
        """Side of a patch in pixels. UsageError for a tower without patches."""
        if self._kind is None:
            raise UsageError(f"the image tower of {self.name} has no patches: {self.obstacle}")
        return self._kind.patch

    def patches(self, images: Tensor, prompt: Prompt | None = None, *, unit: bool = True) -> Tensor:
        """Unit features (b, rows, columns, e) of the patches of images (b, 3, height, width).

        In the last block every token keeps its own values: attention is left out, the residual
        connections and the MLP stay (Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022;
        chongzhou96/MaskCLIP `mmseg/models/backbones/vit.py`). Sides are multiples of `patch`.
        Position embeddings are interpolated for a grid other than that of training. With `unit`
        off, features keep the length that the tower gives them. UsageError for a tower without
        patches.
        """
        side, kind = self.patch, self.kind
        rows, columns = images.shape[-2] // side, images.shape[-1] // side
        weight = next(self.visual.parameters())
        images = images.to(weight.device, weight_dtype(self.visual))
        self.images_encoded += len(images)
        embedded = kind.embed_grid(images)
        x = embedded.x
        slot = x.shape[1]
        if prompt is None:
            prompt = Prompt(x.new_empty(0, x.shape[2]))
        else:
            x = self._append(x, prompt)
        *blocks, (last, positions) = zip(kind.blocks, embedded.positions, strict=True)
        for i, (block, place) in enumerate(blocks):
            x = run_block(kind.steps, block, i, x, prompt, slot, self.finish_block, positions=place)
        x, _, _, values = enter_block(kind.steps, last, len(blocks), x, prompt, slot, positions)
        x = leave_block(kind.steps, last, len(blocks), x, values, prompt, self.finish_block)
        features = kind.read_patches(x[:, :slot])
        features = normalise(features) if unit else at_least_float32(features)
        return features.unflatten(1, (rows, columns))
