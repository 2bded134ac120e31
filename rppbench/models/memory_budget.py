"""The memory budget: how much is computed at once within `--memory`, by a simple cost model.

A process takes `PROGRAM_BYTES` and the weights. Half of the remaining memory is for what is
computed at once; the other half is for everything else: features, logits, the allocator's gaps.
For each token a text block holds `TOKEN_FLOATS` numbers of its width for the backward pass
(ViT-B/16: the peak was 14.2 to 14.6 in `benchmarks/results/text_encoding-*.json`) and its attention
weights. An image goes through the blocks one at a time, so only one block's activations are in
memory at once. An image that is scored holds `LOGIT_COPIES` numbers for each class.

`out_of_memory` handles memory that runs out nevertheless.
"""

from __future__ import annotations

from typing import Any

from rppbench.errors import UsageError
from rppbench.files.sizes import PROGRAM_BYTES, spell_size
from rppbench.models.architecture import text_part

TOKEN_FLOATS, LOGIT_COPIES, FLOAT_BYTES = 20, 8, 4


def working_bytes(model: Any, memory: int, name: str) -> int:
    """Bytes for what is computed at once. UsageError if not even the weights fit."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    if memory <= PROGRAM_BYTES + weights:
        raise UsageError(
            f"--memory {spell_size(memory)} is too little for {name}: its weights take "
            f"{spell_size(weights)}, the program {spell_size(PROGRAM_BYTES)}"
        )
    return (memory - PROGRAM_BYTES - weights) // 2


def text_tokens_at_once(model: Any, memory: int, name: str) -> int:
    """Tokens of class names that are run at once, forward and backward, in `memory` bytes.

    At least 1, as for the functions below. UsageError as in `working_bytes`.
    """
    text = text_part(model)
    transformer = getattr(text, "transformer", None)
    blocks = getattr(transformer, "resblocks", None)
    if not blocks:  # a tower of another library: assume the sizes of CLIP's
        width, heads, count, context = 1024, 16, 24, 77
    else:
        width, heads = text.token_embedding.embedding_dim, blocks[0].attn.num_heads
        count, context = len(blocks), text.context_length
    token = count * (TOKEN_FLOATS * width + 3 * heads * context) * FLOAT_BYTES
    return max(1, working_bytes(model, memory, name) // token)


def images_at_once(model: Any, side: int, memory: int, name: str) -> int:
    """Images of `side` x `side` pixels that pass a frozen tower at once in `memory` bytes."""
    visual = model.visual
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    pixels = 3 * side**2
    trunk = getattr(visual, "trunk", None)  # of timm
    if trunk is not None and hasattr(trunk, "blocks") and hasattr(trunk, "patch_embed"):
        tokens, width = trunk.patch_embed.num_patches + trunk.num_prefix_tokens, trunk.embed_dim
        floats = tokens * TOKEN_FLOATS * width
    elif blocks and hasattr(visual, "positional_embedding"):
        tokens, width = visual.positional_embedding.shape
        floats = tokens * TOKEN_FLOATS * width
    else:  # a convolutional tower's first maps: 64 channels at half the side, and copies
        floats = 4 * 64 * side**2 // 4
    return max(1, working_bytes(model, memory, name) // ((floats + 2 * pixels) * FLOAT_BYTES))


def scored_images_at_once(model: Any, classes: int, memory: int, name: str) -> int:
    """Images whose similarities to that many `classes` are held at once in `memory` bytes."""
    image = LOGIT_COPIES * FLOAT_BYTES * max(1, classes)
    return max(1, working_bytes(model, memory, name) // image)
