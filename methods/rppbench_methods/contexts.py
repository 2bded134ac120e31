"""Initial values of learned tokens and layers, and a check that their sizes fit the backbone."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from rppbench.contracts import BlockCount, Range, Space
from rppbench.errors import UsageError

Length = Annotated[int, Range(1, 1000)]
"""Number of learned tokens; `check_size` knows what a backbone can take."""
Depth = Annotated[int, BlockCount(0, 1000)]
"""Number of blocks that are prompted."""
Weight = Annotated[float, Range(0)]
"""Weight of a term of the loss."""


def initial_context(space: Space, length: int, init: str = "") -> Tensor:
    """(length, d) text tokens: the words of `init`, then draws from N(0, 0.02^2) up to `length`.

    An empty `init` draws all tokens. UsageError if the text tower cannot take `length` tokens.
    """
    check_size(space, "text", length)
    start = space.normal(length, space.text_width).detach()
    if init:
        words = space.words(init)[:length]
        start = torch.cat([words.to(start), start[len(words) :]])
    return start


def linear(space: Space, inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A layer with torch's initial distribution, drawn from the method's own random stream."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    bound = inputs**-0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=space.generator)
    return layer


def _without(tower: str, space: Space) -> str:
    """Methods that leave this tower alone, for a message."""
    if tower == "image" and space.text_layers:
        return "methods that prompt the text alone, as coop and rpp:encoders=text"
    if tower == "text" and space.image_layers:
        return "methods that prompt the images alone, as vpt and rpp:encoders=image"
    return "zero-shot, and methods on features, as linear-probe and tip-adapter"


def check_size(space: Space, tower: str, length: int, depth: int = 0) -> None:
    """UsageError if the tower takes no prompts, or none of this length and depth."""
    check_adapted(space, tower)
    if length < 1:
        raise UsageError(f"length is the number of learned tokens, at least 1, not {length}")
    check_adapted(space, tower, depth)


def check_adapted(space: Space, tower: str, depth: int = 0) -> None:
    """UsageError if the tower takes no adapters or prompts, or not in `depth` blocks."""
    layers = space.text_layers if tower == "text" else space.image_layers
    if not layers:
        obstacle = space.text_obstacle if tower == "text" else space.image_obstacle
        raise UsageError(
            f"the {tower} tower of this backbone cannot be prompted: {obstacle}\n"
            f"what runs on it: {_without(tower, space)}"
        )
    if not 0 <= depth <= layers:
        raise UsageError(
            f"depth={depth} does not fit: the {tower} tower of this backbone has {layers} blocks; "
            f"write depth={layers} or less"
        )
