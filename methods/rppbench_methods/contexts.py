"""Initial values of learned tokens and layers, and a check that their sizes fit the backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rppbench.contracts import Space
from rppbench.errors import UsageError


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


def check_size(space: Space, tower: str, length: int, depth: int = 0) -> None:
    """UsageError if the tower takes no prompts, or none of this length and depth."""
    layers = space.text_layers if tower == "text" else space.image_layers
    if not layers:
        raise UsageError(
            f"the {tower} tower of this backbone cannot be prompted: "
            "it is not a plain transformer; `rppbench info rpp` says which options avoid it"
        )
    if length < 1:
        raise UsageError(f"length is the number of learned tokens, at least 1, not {length}")
    if not 0 <= depth <= layers:
        raise UsageError(f"depth is 0 to {layers} for the {tower} tower of this backbone")
