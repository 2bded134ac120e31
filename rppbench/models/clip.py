"""A frozen CLIP-like model of open_clip, loaded by name: both towers, preprocessing, digest."""

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
from rppbench.models import memory_budget
from rppbench.models.architecture import text_part, weight_dtype
from rppbench.models.blocks import finish_block
from rppbench.models.class_names import Names
from rppbench.models.first_pass import check_features
from rppbench.models.identity import guess, identify, resolve
from rppbench.models.image_tower import ImageTower
from rppbench.models.loading import read_open_clip, read_shipped
from rppbench.models.text_tower import TextTower
from rppbench.models.tokens import Tokenizer
from rppbench.models.towers.kinds import Kind

__all__ = ["PRECISIONS", "Clip", "Preprocess", "identify", "load"]


MAX_SCORED_IMAGES = 4096
"""Maximum images whose similarities are held at once; `--memory` may set a lower number."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A frozen model; `text` and `image` are its towers, which take prompts."""

    name: str
    digest: str
    """SHA-256 of weights and configuration, 16 digits: `identity.identify`."""
    model: Any
    """open_clip's model, in evaluation mode; none of its parameters requires a gradient."""
    tokenizer: Tokenizer
    preprocess: Preprocess
    memory: int | None = None
    """Bytes that the process may take (`--memory`); limits how much is computed at once."""
    guessed: str = ""
    """What was assumed of weights that do not say it, for a record; '' if nothing was."""
    kinds: Sequence[Kind] = ()
    """Kinds of towers that plugins add."""

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)

    @cached_property
    def text(self) -> TextTower:
        tower = TextTower(self.model, self.tokenizer, self.name, self.kinds)
        if self.memory is not None:
            most = memory_budget.text_tokens_at_once(self.model, self.memory, self.name)
            tower.chunk_tokens = min(tower.chunk_tokens, most)
        return tower

    @cached_property
    def image(self) -> ImageTower:
        tower = ImageTower(self.model, self.name, self.kinds)
        if self.memory is not None:
            side = self.preprocess.size
            tower.max_images = memory_budget.images_at_once(
                self.model, side, self.memory, self.name
            )
        return tower

    def scored_images_at_once(self, classes: int) -> int:
        """Number of images whose similarities to that many `classes` are held at once.

        UsageError if not even the weights fit in `memory`.
        """
        if self.memory is None:
            return MAX_SCORED_IMAGES
        most = memory_budget.scored_images_at_once(self.model, classes, self.memory, self.name)
        return min(MAX_SCORED_IMAGES, most)

    def compile(self, backend: str) -> None:
        """Compile the larger part of each transformer block, `finish_block`, in both towers.

        `backend` is a backend of `torch.compile`. Values then differ by rounding. Blocks share the
        compiled code. Each input size needs its own variants, with and without a gradient, and
        torch compiles only eight variants by default.
        """
        torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
        compiled = torch.compile(finish_block, backend=backend)
        self.text.finish_block = self.image.finish_block = compiled

    @property
    def device(self) -> torch.device:
        return self.model.logit_scale.device

    @property
    def dtype(self) -> torch.dtype:
        """The data type in which the towers compute."""
        return weight_dtype(self.model.visual)

    @property
    def scale(self) -> Tensor:
        """() exp(logit_scale): cosines are multiplied by it to give logits."""
        return self.model.logit_scale.detach().float().exp().reshape(())

    @property
    def bias(self) -> Tensor | None:
        """() the logit bias of a model trained with a sigmoid (SigLIP); None for CLIP."""
        bias = getattr(self.model, "logit_bias", None)
        return None if bias is None else bias.detach().float().reshape(())

    def names(self, names: Sequence[str], wording: str = "{}.") -> Names:
        """The class names, tokenised once. UsageError if the text tower cannot be prompted."""
        return Names(names, self.text.kind.tokens, wording)

    def unknown_words(self, names: Sequence[str]) -> list[str]:
        """Names with a token that the text tower was not trained on: its embedding is all zero."""
        if self.text.obstacle:
            return []
        trained = (self.text.kind.vocabulary != 0).any(1).cpu()  # (vocabulary,)
        tokens = self.names(names)
        inside = torch.arange(tokens.ids.shape[1]) < tokens.lengths[:, None]
        unknown = (inside & ~trained[tokens.ids]).any(1)
        return [name for name, flag in zip(names, unknown.tolist(), strict=True) if flag]

    def space(
        self,
        classes: int,
        generator: torch.Generator,
        shots: int = 1,
        teacher: Clip | None = None,
    ) -> Space:
        """The widths and numbers of layers that a method's parameters fit, and their random stream.

        Widths and layers are 0 for a tower that cannot be prompted.
        """
        text = None if self.text.obstacle else self.text.kind
        image = None if self.image.obstacle else self.image.kind
        return Space(
            text_width=text.width if text else 0,
            text_layers=len(text.blocks) if text else 0,
            image_width=image.width if image else 0,
            image_layers=len(image.blocks) if image else 0,
            embed=embed_width(self.model),
            classes=classes,
            words=self.text.embed_words,
            generator=generator,
            shots=shots,
            teacher_width=0 if teacher is None else embed_width(teacher.model),
            text_obstacle=self.text.obstacle or "",
            image_obstacle=self.image.obstacle or "",
        )


def load(
    backbone: str,
    shipped: Mapping[str, Backbone],
    precision: str = "fp32",
    device: str | torch.device = "cpu",
    memory: int | None = None,
    kinds: Sequence[Kind] = (),
) -> Clip:
    """The named model with its weights, frozen.

    `shipped` holds the backbones of plugins by name, `kinds` are their kinds of towers. UsageError
    if the backbone or the precision is unknown, if the weights cannot be fetched, are damaged or do
    not fit the model, or if the towers of a model that open_clip does not list give no features.
    """
    if precision not in PRECISIONS:
        raise unknown("precision is named", precision, PRECISIONS, "precisions")
    source = resolve(backbone, shipped)
    if source.kind == "shipped":
        model, tokenizer, preprocess = read_shipped(shipped[source.model], precision)
    else:
        model, tokenizer, preprocess = read_open_clip(source, precision)
    clip = Clip(
        name=source.name,
        digest=identify(backbone, shipped),
        model=model.to(device),
        tokenizer=tokenizer,
        preprocess=preprocess,
        memory=memory,
        guessed=guessed.summary if (guessed := guess(source)) else "",
        kinds=kinds,
    )
    if source.kind in ("folder", "hub"):  # the models that open_clip lists are known to be sound
        check_features(model, tokenizer, preprocess.size, source.name)
    return clip


def embed_width(model: Any) -> int:
    """e, the width of the embedding that both towers share."""
    for part in (text_part(model), model.visual):
        if width := getattr(part, "output_dim", None):
            return int(width)
    return int(model.text_projection.shape[1])
