"""A frozen CLIP-like model of open_clip, by name: towers, preprocessing, identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import rppbench.torchvision_shim  # noqa: F401  # before open_clip, which imports torchvision

# isort: split
import torch
from torch import Tensor

from rppbench.contracts.backbone import PRECISIONS, Backbone
from rppbench.contracts.prompts import Space
from rppbench.data.preprocess import Preprocess
from rppbench.errors import unknown
from rppbench.models import memory
from rppbench.models.blocks import leave
from rppbench.models.identity import identify, resolve
from rppbench.models.image_tower import ImageTower
from rppbench.models.loading import read_open_clip, read_shipped
from rppbench.models.support import text_part, weight_dtype
from rppbench.models.text_tower import TextTower
from rppbench.models.tokens import Names, Tokenizer

__all__ = ["PRECISIONS", "Clip", "Preprocess", "identify", "load"]


SCORED = 4096
"""Images whose similarities are held at once, if memory is not bounded."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A frozen model with both towers ready to take prompts."""

    name: str
    digest: str
    """Of weights and configuration."""
    model: Any
    """open_clip's model, in evaluation mode, nothing of it requires a gradient."""
    tokenizer: Tokenizer
    preprocess: Preprocess
    memory: int | None = None
    """Bytes that work with it may take; what is computed at once follows from it."""

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)

    @cached_property
    def text(self) -> TextTower:
        tower = TextTower(self.model, self.tokenizer, self.name)
        if self.memory is not None:
            most = memory.text_tokens(self.model, self.memory, self.name)
            tower.chunk_tokens = min(tower.chunk_tokens, most)
        return tower

    @cached_property
    def image(self) -> ImageTower:
        tower = ImageTower(self.model, self.name)
        if self.memory is not None:
            side = self.preprocess.size
            tower.most = memory.images_at_once(self.model, side, self.memory, self.name)
        return tower

    def scored(self, classes: int) -> int:
        """Images whose similarities to so many classes are held at once."""
        if self.memory is None:
            return SCORED
        return min(SCORED, memory.scored_at_once(self.model, classes, self.memory, self.name))

    def compile(self, backend: str) -> None:
        """Let `torch.compile` have the larger part of each residual block, in both towers.

        Values then differ by rounding. Blocks share what is compiled; sizes, and whether there is
        a gradient, need variants, of which torch makes only eight unless told.
        """
        torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
        self.text.leave = self.image.leave = torch.compile(leave, backend=backend)

    @property
    def device(self) -> torch.device:
        return self.model.logit_scale.device

    @property
    def dtype(self) -> torch.dtype:
        """Type in which the towers compute."""
        return weight_dtype(self.model.visual)

    @property
    def scale(self) -> Tensor:
        """() what cosines are multiplied with to give logits."""
        return self.model.logit_scale.detach().float().exp().reshape(())

    def names(self, names: Sequence[str]) -> Names:
        """The class names, tokenised once."""
        return Names(names, self.tokenizer)

    def unknown_words(self, names: Sequence[str]) -> list[str]:
        """Names with a token whose embedding is all zero: the text tower never saw it."""
        if self.text.obstacle:
            return []
        seen = (self.text.text.token_embedding.weight != 0).any(1).cpu()  # (vocabulary,)
        tokens = self.names(names)
        inside = torch.arange(tokens.ids.shape[1]) < tokens.lengths[:, None]
        missing = (inside & ~seen[tokens.ids]).any(1)
        return [name for name, lost in zip(names, missing.tolist(), strict=True) if lost]

    def space(
        self,
        classes: int,
        generator: torch.Generator,
        shots: int = 1,
        teacher: Clip | None = None,
    ) -> Space:
        """What a method may build on; widths are 0 for a tower that cannot be prompted."""
        text, visual = self.text, self.model.visual
        text_blocks = [] if text.obstacle else text.text.transformer.resblocks
        image_blocks = [] if self.image.obstacle else visual.transformer.resblocks
        return Space(
            text_width=text.text.token_embedding.embedding_dim if text_blocks else 0,
            text_layers=len(text_blocks),
            image_width=visual.conv1.out_channels if image_blocks else 0,
            image_layers=len(image_blocks),
            embed=embed_width(self.model),
            classes=classes,
            words=text.words,
            generator=generator,
            shots=shots,
            taught=0 if teacher is None else embed_width(teacher.model),
        )


def load(
    backbone: str,
    shipped: Mapping[str, Backbone],
    precision: str = "fp32",
    device: str | torch.device = "cpu",
    memory: int | None = None,
) -> Clip:
    """The named model with its weights, frozen.

    UsageError if the name means nothing, if weights cannot be fetched, are damaged or do not fit.
    """
    if precision not in PRECISIONS:
        raise unknown("precision is named", precision, PRECISIONS, "precisions")
    source = resolve(backbone, shipped)
    if source.kind == "shipped":
        model, tokenizer, preprocess = read_shipped(shipped[source.model], precision)
    else:
        model, tokenizer, preprocess = read_open_clip(source, precision)
    return Clip(
        name=source.name,
        digest=identify(backbone, shipped),
        model=model.to(device),
        tokenizer=tokenizer,
        preprocess=preprocess,
        memory=memory,
    )


def embed_width(model: Any) -> int:
    """Width of the space that both towers share."""
    for part in (text_part(model), model.visual):
        if width := getattr(part, "output_dim", None):
            return int(width)
    return int(model.text_projection.shape[1])
