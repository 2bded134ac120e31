"""Deep prompts of one tower: learned tokens at the input, replaced by others block by block."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rppbench.contracts import Prompt, Space
from rppbench.errors import UsageError
from rppbench_methods.contexts import check, context


class Deep(nn.Module):
    """`input` enters with the input, other vectors take its place before blocks 1 to `depth` - 1.

    Later blocks keep what became of the last ones. `tail` are frozen tokens that follow the
    learned ones and are never replaced.
    """

    def __init__(self, space: Space, start: Tensor, depth: int, tail: Tensor | None = None) -> None:
        super().__init__()
        self.input = nn.Parameter(start)
        self.blocks = nn.ParameterList(space.normal(*start.shape) for _ in range(1, depth))
        self.register_buffer("tail", start[:0] if tail is None else tail, persistent=False)
        self.tail: Tensor

    def forward(self) -> Prompt:
        """The vectors in their places."""
        words = torch.cat([self.input, self.tail.to(self.input)])
        return Prompt(words, stream=dict(enumerate(self.blocks, 1)))


def deep_text(space: Space, length: int, depth: int, init: str) -> Deep:
    """Of the words of `init` the first `length` are learned, the rest frozen (MaPLe issue 32)."""
    _check(space, "text", length, depth)
    start = context(space, length, init)
    return Deep(space, start, depth, space.words(init)[length:] if init else None)


def deep_image(space: Space, length: int, depth: int) -> Deep:
    """All vectors start at random."""
    _check(space, "image", length, depth)
    return Deep(space, space.normal(length, space.image_width).detach(), depth)


def _check(space: Space, tower: str, length: int, depth: int) -> None:
    if depth < 1:
        raise UsageError("depth counts the tokens of the input too: at least 1")
    check(space, tower, length, depth)
