"""Inputs of the towers: learned vectors, fixed wordings, text that depends on the image.

Shapes: b images, c classes, n learned tokens, d width of a tower, e width of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Prompt:
    """Learned vectors for one tower. Block indices count from 0."""

    input: Tensor
    """(n, d) tokens that enter with the input: after the start token in the text tower, where
    positions are added to them; after the patches in the image tower, before `ln_pre`.
    (c, n, d) in the text tower makes them class-specific (the prefix is then not shared)."""
    stream: Mapping[int, Tensor] = field(default_factory=dict)
    """Block -> (m, d), m <= n: overwrites the first m prompt rows of the residual stream
    before that block (no positions are added)."""
    queries: Mapping[int, Tensor] = field(default_factory=dict)
    """Block -> (m, d): what the block's query projection sees in the prompt rows instead of the
    stream, through the block's own `ln_1`. The residual stream is untouched."""
    keys: Mapping[int, Tensor] = field(default_factory=dict)
    values: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Templates:
    """Fixed wording instead of learned text: features of all wordings are averaged."""

    wordings: tuple[str, ...] = ()
    """Each with one '{}'. () takes the data set's own template."""
    teacher: bool = False
    """Whether the teacher's text tower encodes them; else the model's own does."""


@dataclass(frozen=True)
class Conditional:
    """Learned text that depends on the image: all classes are encoded once for each image."""

    contexts: Callable[[Tensor], Tensor]
    """(b, e) unit features of the images -> (b, n, d) tokens, as `Prompt.input`."""


@dataclass(frozen=True)
class Prompts:
    """The learned or fixed inputs of both towers."""

    text: Prompt | Conditional | Templates = field(default_factory=Templates)
    image: Prompt | None = None
    """None leaves the image tower alone: its features are frozen and read from the store."""


@dataclass(frozen=True)
class Space:
    """Sizes of a backbone's towers, and the random stream that parameters are drawn from."""

    text_width: int
    text_layers: int
    image_width: int
    image_layers: int
    embed: int
    classes: int
    """Number of classes of the training source."""
    words: Callable[[str], Tensor]
    """'a photo of a' -> (n, text_width) token embeddings of the frozen text tower."""
    generator: torch.Generator
    shots: int = 1
    """Largest number of training images per class."""
    teacher_width: int = 0
    """Width of the teacher's embedding; 0 without a teacher."""

    def normal(self, *shape: int, std: float = 0.02) -> nn.Parameter:
        """A parameter drawn from N(0, std^2) on the method's own stream."""
        return nn.Parameter(torch.randn(shape, generator=self.generator) * std)
