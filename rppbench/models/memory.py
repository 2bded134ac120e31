"""How much is computed at once in a given memory, and what to do when it was too much.

A simple model of cost. A process takes `BASE` and the weights. Half of the rest is for what is
computed at once; the other half for all that is kept beside it: features, logits, the allocator's
gaps. For each token a text block keeps `TOKEN_FLOATS` numbers of its width for the backward pass
(ViT-B/16: the peak was 14.2 to 14.6 in `benchmarks/results/text_encoding-*.json`) and its
attention weights. An image passes the blocks one after the other, so it holds one block's. An
image that is scored holds `LOGIT_COPIES` numbers for each class.

Smaller groups give the same result but for the rounding of the last bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch

from rppbench.errors import UsageError
from rppbench.files.sizes import spell_size
from rppbench.models.support import text_part

BASE = 768 * 1024**2
"""Interpreter and libraries; on a GPU the context."""
TOKEN_FLOATS, LOGIT_COPIES, NUMBER = 20, 8, 4

ONEDNN_REFUSED = ("could not create a primitive", "could not create a memory")

T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused: torch has a class of errors for GPUs, and a text for CPUs."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = ("DefaultCPUAllocator", "not enough memory", "can't allocate memory", "bad_alloc")
    return isinstance(error, RuntimeError) and any(
        word in str(error) for word in words + ONEDNN_REFUSED
    )


class Shrinking(Protocol):
    """A tower that works in groups whose size it can reduce."""

    def shrink(self) -> bool:
        """Halve the groups; False if one is no longer divisible."""


def leave_onednn(error: BaseException) -> bool:
    """If oneDNN was refused memory, do without it from now on; False if it was not, or is off.

    Its code generator keeps its first error for as long as the thread lives, and then makes no
    kernel for a new shape, however small and however much memory is free again. The kernels of
    torch itself need no memory of their own.
    """
    if not any(word in str(error) for word in ONEDNN_REFUSED):
        return False
    if not torch.backends.mkldnn.set_flags(False)[0]:  # what it was
        return False
    warnings.warn("out of memory: from now on without oneDNN", stacklevel=3)
    return True


def with_less(tower: Shrinking, work: Callable[[], T]) -> T:
    """`work()`, again in smaller groups as long as memory does not suffice for it.

    A refusal by oneDNN is first answered by doing without it.
    """
    while True:
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or not (leave_onednn(error) or tower.shrink()):
                raise
        # Outside of the handler: it would keep the frames, and with them the tensors, alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def warn_of(size: int, what: str) -> None:
    """Say that less is computed at once from now on."""
    warnings.warn(f"out of memory: from now on {size:,} {what} at once", stacklevel=4)


def room(model: Any, memory: int, name: str) -> int:
    """Bytes for what is computed at once. UsageError if not even the weights fit."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    if memory <= BASE + weights:
        raise UsageError(
            f"--memory {spell_size(memory)} is too little for {name}: its weights take "
            f"{spell_size(weights)}, the program {spell_size(BASE)}"
        )
    return (memory - BASE - weights) // 2


def text_tokens(model: Any, memory: int, name: str) -> int:
    """Tokens of class names that are run at once, forward and backward."""
    text = text_part(model)
    transformer = getattr(text, "transformer", None)
    blocks = getattr(transformer, "resblocks", None)
    if not blocks:  # a tower of another library: as if it were CLIP's
        width, heads, count, context = 1024, 16, 24, 77
    else:
        width, heads = text.token_embedding.embedding_dim, blocks[0].attn.num_heads
        count, context = len(blocks), text.context_length
    token = count * (TOKEN_FLOATS * width + 3 * heads * context) * NUMBER
    return max(1, room(model, memory, name) // token)


def images_at_once(model: Any, side: int, memory: int, name: str) -> int:
    """Images that pass a frozen tower at once."""
    visual = model.visual
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    pixels = 3 * side**2
    if blocks and hasattr(visual, "positional_embedding"):
        tokens, width = visual.positional_embedding.shape
        numbers = tokens * TOKEN_FLOATS * width
    else:  # a convolutional tower's first maps: 64 channels at half the side, and copies
        numbers = 4 * 64 * side**2 // 4
    return max(1, room(model, memory, name) // ((numbers + 2 * pixels) * NUMBER))


def scored_at_once(model: Any, classes: int, memory: int, name: str) -> int:
    """Images whose similarities to so many classes are held at once."""
    return max(1, room(model, memory, name) // (LOGIT_COPIES * NUMBER * max(1, classes)))
