"""Where learned tokens enter a block: rows of the residual stream, and of queries, keys and values.

The tokens of `Prompt.input` enter a tower before its first block, in `TextTower` and `ImageTower`.

Shapes: b sequences, l tokens, m learned tokens, d width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rppbench.contracts.prompts import Prompt


def insert_prompt(
    block: Any, i: int, x: Tensor, prompt: Prompt, slot: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Write the prompt's vectors for block `i` into x (b, l, d), from row `slot` on.

    Returns the residual stream and the normalised inputs of the query, key and value
    projections, each (b, l, d). Inputs that the prompt does not change are one tensor.
    """
    if i in prompt.stream:
        x = overwrite_rows(x, prompt.stream[i], slot)
    y = block.ln_1(x)
    q, k, v = (
        overwrite_rows(y, block.ln_1(learned[i].to(x)), slot) if i in learned else y
        for learned in (prompt.queries, prompt.keys, prompt.values)
    )
    return x, q, k, v


def overwrite_rows(x: Tensor, learned: Tensor, slot: int) -> Tensor:
    """x (b, l, d) with its rows from `slot` on replaced by `learned` (m, d)."""
    learned = learned.to(x).expand(len(x), -1, -1)
    return torch.cat([x[:, :slot], learned, x[:, slot + learned.shape[1] :]], 1)
