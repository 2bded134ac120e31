"""Deep prompts of one tower: learned tokens at the input, replaced by others block by block.

With L_i block i, counted from 0, P_i its learned tokens, x_i the other rows of the residual stream
and Q_i the prompt rows that the previous block returns (VPT eq. 4-7, MaPLe eq. 1-6):

    [x_{i+1}, Q_{i+1}] = L_i([x_i, P_i])    i < depth; P_0 is `input`, P_i is `blocks[i - 1]`
    [x_{i+1}, Q_{i+1}] = L_i([x_i, Q_i])    i >= depth
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rppbench.contracts import Prompt, Space
from rppbench.errors import UsageError
from rppbench_methods.contexts import check_size, initial_context


class Deep(nn.Module):
    """Learned tokens (n, d) before each of the first `depth` blocks.

    `tail` are frozen tokens that follow the learned ones at the input and are never replaced.
    """

    def __init__(self, space: Space, start: Tensor, depth: int, tail: Tensor | None = None) -> None:
        super().__init__()
        self.input = nn.Parameter(start)
        self.blocks = nn.ParameterList(space.normal(*start.shape) for _ in range(1, depth))
        self.register_buffer("tail", start[:0] if tail is None else tail, persistent=False)
        self.tail: Tensor

    def forward(self) -> Prompt:
        """The tokens as a prompt of the tower."""
        tokens = torch.cat([self.input, self.tail.to(self.input)])
        return Prompt(tokens, stream=dict(enumerate(self.blocks, 1)))


def deep_text(space: Space, length: int, depth: int, init: str) -> Deep:
    """Deep prompts of the text tower, started from the words of `init`.

    The first `length` words are learned, the others stay frozen (MaPLe issue 32).
    """
    _check(space, "text", length, depth)
    start = initial_context(space, length, init)
    return Deep(space, start, depth, space.words(init)[length:] if init else None)


def deep_image(space: Space, length: int, depth: int) -> Deep:
    """Deep prompts of the image tower; all tokens start at random."""
    _check(space, "image", length, depth)
    return Deep(space, space.normal(length, space.image_width).detach(), depth)


def _check(space: Space, tower: str, length: int, depth: int) -> None:
    if depth < 1:
        raise UsageError("depth counts the tokens at the input too, so it is at least 1")
    check_size(space, tower, length, depth)
