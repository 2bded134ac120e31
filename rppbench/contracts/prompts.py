"""Inputs of the towers: learned vectors and adapters, fixed wordings, text that depends on images.

Shapes: b images, c classes, n learned tokens, d width of a tower, e width of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

TokenMap = Callable[[Tensor], Tensor]
"""(..., d) -> (..., d): the same map for every token, without state or randomness of its own.

The harness relies on that: tokens that classes share are run once, and activations may be dropped
and computed again. A method draws what is random (a dropout mask (d,)) when it builds its prompts.
"""


@dataclass(frozen=True)
class Adapter:
    """What a method adds to one frozen block, for all its tokens alike; None adds nothing.

    "Input" is what the projections of the block see: the residual stream behind the block's first
    norm, or the stream itself in a block that has its norms behind attention and MLP.
    """

    queries: TokenMap | None = None
    """Of the input, added to the query projection (LoRA's B(A(x)))."""
    keys: TokenMap | None = None
    values: TokenMap | None = None
    output: TokenMap | None = None
    """Of the mixed heads, added to the output projection."""
    block: TokenMap | None = None
    """Of the input, added to what leaves the block."""


@dataclass(frozen=True)
class Prompt:
    """Learned vectors and adapters for one tower. Block indices count from 0."""

    input: Tensor
    """(n, d) tokens that enter with the input: after the start token in the text tower, where
    positions are added to them; after the patches in the image tower, before `ln_pre`.
    (c, n, d) in the text tower makes them class-specific (the prefix is then not shared)."""
    stream: Mapping[int, Tensor] = field(default_factory=dict)
    """Block -> (m, d), m <= n: overwrites the first m prompt rows of the residual stream
    before that block (no positions are added). (c, m, d) in the text tower makes them
    class-specific (the prefix is then not shared)."""
    queries: Mapping[int, Tensor] = field(default_factory=dict)
    """Block -> (m, d): what the block's query projection sees in the prompt rows instead of the
    stream, through the block's own `ln_1`. The residual stream is untouched."""
    keys: Mapping[int, Tensor] = field(default_factory=dict)
    values: Mapping[int, Tensor] = field(default_factory=dict)
    adapters: Mapping[int, Adapter] = field(default_factory=dict)
    """Block -> what is added to it."""
    after_name: Tensor | None = None
    """(n, d) tokens of the text tower that follow the class name, before the rest of the wording;
    positions are added to them. (c, n, d) makes them class-specific. Not in the image tower."""

    @property
    def class_specific(self) -> bool:
        """Whether each class has tokens of its own, at the input or in a block."""
        after = () if self.after_name is None else (self.after_name,)
        return any(tokens.ndim == 3 for tokens in (self.input, *after, *self.stream.values()))

    def of_classes(self, rows: Tensor) -> Prompt:
        """The prompt with the class-specific tokens of the classes at `rows` (k,), in that order.

        What all classes share is left as it is.
        """

        def chosen(tokens: Tensor) -> Tensor:
            return tokens[rows.to(tokens.device)] if tokens.ndim == 3 else tokens

        stream = {block: chosen(tokens) for block, tokens in self.stream.items()}
        after = None if self.after_name is None else chosen(self.after_name)
        return replace(self, input=chosen(self.input), stream=stream, after_name=after)


@dataclass(frozen=True)
class Templates:
    """Fixed wording instead of learned text: features of all wordings are averaged."""

    wordings: tuple[str, ...] = ()
    """Each with one '{}'. () takes the data set's own template."""
    teacher: bool = False
    """Whether the teacher's text tower encodes them; else the model's own does."""
    unit: bool = True
    """Whether features get unit length. Else they keep the length that the tower gives them, for a
    method whose `classify` needs it."""


@dataclass(frozen=True)
class Conditional:
    """Learned text that depends on the image: all classes are encoded once for each image."""

    contexts: Callable[[Tensor], Tensor]
    """(b, e) features of the images -> (b, n, d) tokens, as `Prompt.input`. They have unit length
    unless `Prompts.unit_images` is off."""


@dataclass(frozen=True)
class ClassAware:
    """Learned text that depends on the classes, by the frozen text feature of each."""

    prompt: Callable[[Tensor], Prompt]
    """(c, e) unit features of the classes in a fixed wording -> a prompt that may be class-specific
    for these classes, in their order. Classes that were not learned have one too."""
    wordings: tuple[str, ...] = ()
    """Of these features, as in `Templates`: () takes the data set's own template."""


def name_alone(template: str) -> str:
    """'{}.': the class name and a full stop, whatever the data set's own template is."""
    return "{}."


@dataclass(frozen=True)
class Prompts:
    """The learned or fixed inputs of both towers."""

    text: Prompt | ClassAware | Conditional | Templates = field(default_factory=Templates)
    image: Prompt | None = None
    """None leaves the image tower alone: its features are frozen and read from the store."""
    wording: Callable[[str], str] = name_alone
    """The data set's own template -> what follows the learned text tokens, with one '{}' for the
    class name. Fixed text (`Templates`) has its own wordings."""
    unit_images: bool = True
    """Whether image features get unit length, in training and in testing. Else they keep the length
    that the tower gives them, for a method whose `classify` needs it."""


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
    text_obstacle: str = ""
    """Why the text tower takes no prompt, so that its width and layers are 0; '' if it does."""
    image_obstacle: str = ""

    def normal(self, *shape: int, std: float = 0.02) -> nn.Parameter:
        """A parameter drawn from N(0, std^2) on the method's own stream."""
        return nn.Parameter(torch.randn(shape, generator=self.generator) * std)
