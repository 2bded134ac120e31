"""One transformer block with a prompt, by the steps of its kind (`contracts.towers.Blocks`).

For each block of its transformer a tower runs `enter_block`, attention, and `leave_block`;
`run_block` is all three, for attention without a shared prefix.

Shapes: b sequences, c classes, s suffix tokens, p prefix tokens, l tokens, m learned tokens,
d width, h heads, e embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rppbench.contracts.prompts import Prompt
from rppbench.contracts.towers import Blocks

FinishBlock = Callable[..., Tensor]
"""`finish_block`, or its version compiled by `torch.compile`."""


def enter_block(
    steps: Blocks, block: Any, i: int, x: Tensor, prompt: Prompt, slot: int, positions: Any = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The residual stream (b, l, d) with the prompt's vectors, and the heads (b, h, l, d/h).

    The vectors of block `i` take the rows from `slot` on: of the stream, and of what the
    projections of queries, keys and values see. The block's adapter adds to the projections.
    """
    if i in prompt.stream:
        x = overwrite_rows(x, prompt.stream[i], slot)
    y = steps.enter(block, x)
    q, k, v = (
        overwrite_rows(y, steps.enter(block, learned[i].to(x)), slot) if i in learned else y
        for learned in (prompt.queries, prompt.keys, prompt.values)
    )
    projected = steps.project(block, q, k, v)
    if adapter := prompt.adapters.get(i):
        maps = (adapter.queries, adapter.keys, adapter.values)
        each = zip(projected, maps, (q, k, v), strict=True)
        q, k, v = (part if add is None else part + add(seen) for part, add, seen in each)
        projected = q, k, v
    return x, *steps.heads(block, *projected, positions)


def overwrite_rows(x: Tensor, learned: Tensor, slot: int) -> Tensor:
    """x (b, l, d) with its rows from `slot` on replaced by `learned` (m, d)."""
    learned = learned.to(x).expand(x.shape[0], -1, -1)
    return torch.cat([x[:, :slot], learned, x[:, slot + learned.shape[1] :]], 1)


def finish_block(
    steps: Blocks,
    block: Any,
    x: Tensor,
    heads: Tensor,
    projected: Tensor | None = None,
    beside: Tensor | None = None,
) -> Tensor:
    """The output (b, l, d) of a block: attention's output projection, the MLP, both residuals.

    `x` (b, l, d) is the residual stream, `heads` (b, h, l, d/h) the output of the attention heads.
    `projected` (b, l, d) is added to the output projection, `beside` (b, l, d) to the block's
    output.
    """
    attended = steps.output(block, steps.merge(block, heads))
    x = steps.leave(block, x, attended if projected is None else attended + projected)
    return x if beside is None else x + beside


def leave_block(
    steps: Blocks, block: Any, i: int, x: Tensor, heads: Tensor, prompt: Prompt, finish: FinishBlock
) -> Tensor:
    """`finish_block` by `finish`, with what the adapter of block `i` adds.

    The adapter's maps are called here, so that compiled code is given tensors and no functions.
    """
    adapter = prompt.adapters.get(i)
    if adapter is None:
        return finish(steps, block, x, heads)
    projected = beside = None
    if adapter.output is not None:
        projected = adapter.output(steps.merge(block, heads))
    if adapter.block is not None:
        beside = adapter.block(steps.enter(block, x))
    return finish(steps, block, x, heads, projected, beside)


def run_block(
    steps: Blocks,
    block: Any,
    i: int,
    x: Tensor,
    prompt: Prompt,
    slot: int,
    finish: FinishBlock,
    *,
    positions: Any = None,
    mask: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    """The output (b, l, d) of block `i` for x (b, l, d), with the prompt's vectors from `slot` on.

    `mask` is boolean (True: attended to) or added to the scores.
    """
    x, q, k, v = enter_block(steps, block, i, x, prompt, slot, positions)
    heads = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, scale=steps.scale
    )
    return leave_block(steps, block, i, x, heads, prompt, finish)


def attend_with_prefix(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Causal attention (b*c, h, s, d/h) over b prefixes and the own suffix of each of c classes.

    `q`, `k` and `v` (b*c, h, s, d/h) are of the suffixes, those of the first prefix first; `keys`
    and `values` (b, h, p, d/h) are of the prefixes, which all their suffix tokens see. `mask`
    (bool, spreads to (b*c, h, s, s)) says which suffix tokens are attended to; None: those up to
    the token itself. The products are spelled out because `scaled_dot_product_attention` needs a
    copy of the prefix for each class, and the copies (17 tokens for a name of 5) would be most of
    the memory kept for the backward pass.
    """
    (_, h, s, width), (b, _, p, _) = q.shape, keys.shape
    c = len(q) // b

    def together(x: Tensor) -> Tensor:  # (b*c, h, s, x) -> (b, h, c*s, x): classes of a prefix
        return x.unflatten(0, (b, c)).transpose(1, 2).reshape(b, h, c * s, x.shape[-1])

    def apart(x: Tensor) -> Tensor:
        return x.unflatten(2, (c, s)).transpose(1, 2).flatten(0, 1)

    prefix_scores = apart(together(q) @ keys.transpose(2, 3))
    later = torch.ones(s, s, dtype=torch.bool, device=q.device).triu(1)
    hidden = later if mask is None else ~mask
    suffix_scores = (q @ k.transpose(2, 3)).masked_fill(hidden, -torch.inf)  # (c, h, s, s)
    scores = torch.cat([prefix_scores, suffix_scores], 3) * width**-0.5
    dtype = torch.promote_types(q.dtype, torch.float32)  # as the fused kernels do
    weights = scores.softmax(-1, dtype=dtype).to(q.dtype)
    return apart(together(weights[..., :p]) @ values) + weights[..., p:] @ v


def normalise(features: Tensor) -> Tensor:
    """Features (..., e) as unit vectors, in float32 or wider."""
    return F.normalize(at_least_float32(features), dim=-1)


def at_least_float32(features: Tensor) -> Tensor:
    """The tensor in float32, or unchanged if it is float64."""
    return features.to(torch.promote_types(features.dtype, torch.float32))
