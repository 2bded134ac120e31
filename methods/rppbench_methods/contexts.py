"""How learned tokens and layers start, and whether a tower has room for a prompt."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rppbench.contracts import Space
from rppbench.errors import UsageError


def context(space: Space, length: int, init: str = "") -> Tensor:
    """(length, d) where text tokens start: from the words of `init`, as far as they reach.

    What the words do not fill, and everything if `init` is empty, comes from N(0, 0.02^2).
    """
    check(space, "text", length)
    start = space.normal(length, space.text_width).detach()
    if init:
        words = space.words(init)[:length]
        start = torch.cat([words.to(start), start[len(words) :]])
    return start


def linear(space: Space, inputs: int, outputs: int) -> nn.Linear:
    """A layer that starts as torch has it, but on the method's own stream."""
    layer = nn.Linear(inputs, outputs)
    bound = inputs**-0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=space.generator)
    return layer


def check(space: Space, tower: str, length: int, depth: int = 0) -> None:
    """UsageError if the tower takes no prompt, or the prompt no sensible size."""
    layers = space.text_layers if tower == "text" else space.image_layers
    if not layers:
        raise UsageError(
            f"the {tower} tower of this backbone cannot be prompted: "
            "it is no plain transformer; `rppbench info rpp` says which options avoid it"
        )
    if length < 1:
        raise UsageError(f"length is the number of learned tokens, at least 1, not {length}")
    if not 0 <= depth <= layers:
        raise UsageError(f"depth is 0 to {layers} for the {tower} tower of this backbone")
