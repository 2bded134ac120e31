"""Memory: what is computed at once within `--memory`, and what happens when it runs out.

When memory runs out, `retry_with_less_memory` halves a tower's groups and repeats the work, down
to one class or one image at a time; then the error stands.

How large groups are to begin with follows a simple model of cost. A process takes `BASE_BYTES` and
the weights. Half of the remaining memory is for what is computed at once; the other half for all
that is held beside it: features, logits, the allocator's gaps. For each token a text block holds
`TOKEN_FLOATS` numbers of its width for the backward pass (ViT-B/16: the peak was 14.2 to 14.6 in
`benchmarks/results/text_encoding-*.json`) and its attention weights. An image passes the blocks
one after the other, so it holds one block's. An image that is scored holds `LOGIT_COPIES` numbers
for each class.

Smaller groups give the same result but for the rounding of the last bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch

from rppbench.errors import UsageError
from rppbench.files.sizes import spell_size
from rppbench.models.architecture import text_part

BASE_BYTES = 768 * 1024**2
"""Interpreter and libraries; on a GPU the context."""
TOKEN_FLOATS, LOGIT_COPIES, FLOAT_BYTES = 20, 8, 4

OUT_OF_MEMORY = ("DefaultCPUAllocator", "not enough memory", "can't allocate memory", "bad_alloc")
"""Texts in the RuntimeError of a refused allocation on a CPU."""
ONEDNN_REFUSED = ("could not create a primitive", "could not create a memory")
"""Texts in the RuntimeError of oneDNN when it was refused memory."""

T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused: torch has an error class for GPUs, only texts for CPUs."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error) for text in OUT_OF_MEMORY + ONEDNN_REFUSED
    )


class Shrinkable(Protocol):
    """A tower that works in groups whose size it can reduce."""

    def shrink(self) -> bool:
        """Halve the groups; False if one cannot be halved any more."""


def retry_with_less_memory(tower: Shrinkable, work: Callable[[], T]) -> T:
    """The result of `work()`, repeated in smaller groups as long as memory does not suffice.

    A refusal by oneDNN is first answered by turning oneDNN off. The last error is raised when the
    tower cannot shrink any more; other errors are raised at once.
    """
    while True:
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or not (turn_off_onednn(error) or tower.shrink()):
                raise
        # Outside of the handler: it would keep the frames, and with them the tensors, alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def turn_off_onednn(error: BaseException) -> bool:
    """If oneDNN was refused memory, compute without it from now on.

    False if the error is not oneDNN's, or it is off already. Its code generator keeps its first
    error for as long as the thread lives, and then makes no kernel for a new shape, however small
    and however much memory is free again. The kernels of torch itself need no memory of their own.
    """
    if not any(text in str(error) for text in ONEDNN_REFUSED):
        return False
    if not torch.backends.mkldnn.set_flags(False)[0]:  # it returns the flags as they were before
        return False
    warnings.warn("out of memory: from now on without oneDNN", stacklevel=3)
    return True


def warn_of_smaller_groups(size: int, of: str) -> None:
    """Warn that only `size` things (`of` names them) are computed at once from now on."""
    warnings.warn(f"out of memory: from now on {size:,} {of} at once", stacklevel=4)


def working_bytes(model: Any, memory: int, name: str) -> int:
    """Bytes for what is computed at once. UsageError if not even the weights fit."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    if memory <= BASE_BYTES + weights:
        raise UsageError(
            f"--memory {spell_size(memory)} is too little for {name}: its weights take "
            f"{spell_size(weights)}, the program {spell_size(BASE_BYTES)}"
        )
    return (memory - BASE_BYTES - weights) // 2


def text_tokens_at_once(model: Any, memory: int, name: str) -> int:
    """Tokens of class names that are run at once, forward and backward, in `memory` bytes.

    At least 1. UsageError as in `working_bytes`; the same holds for the functions below.
    """
    text = text_part(model)
    transformer = getattr(text, "transformer", None)
    blocks = getattr(transformer, "resblocks", None)
    if not blocks:  # a tower of another library: as if it were CLIP's
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
    if blocks and hasattr(visual, "positional_embedding"):
        tokens, width = visual.positional_embedding.shape
        floats = tokens * TOKEN_FLOATS * width
    else:  # a convolutional tower's first maps: 64 channels at half the side, and copies
        floats = 4 * 64 * side**2 // 4
    return max(1, working_bytes(model, memory, name) // ((floats + 2 * pixels) * FLOAT_BYTES))


def scored_images_at_once(model: Any, classes: int, memory: int, name: str) -> int:
    """Images whose similarities to so many classes are held at once in `memory` bytes."""
    image = LOGIT_COPIES * FLOAT_BYTES * max(1, classes)
    return max(1, working_bytes(model, memory, name) // image)
