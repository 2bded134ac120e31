"""What happens when memory runs out: groups are halved and the work is repeated.

`retry_with_less_memory` does so down to one class or one image at a time; then the error is raised
and ends the cell (`training.failures`). Smaller groups give the same result up to rounding in the
last bits. `memory_budget` sets the initial size of groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch

from rppbench.plugins.containment import text_of

OUT_OF_MEMORY = ("DefaultCPUAllocator", "not enough memory", "can't allocate memory", "bad_alloc")
"""Texts in the RuntimeError of a refused allocation on a CPU."""


ONEDNN_REFUSED = ("could not create a primitive", "could not create a memory")
"""Texts in the RuntimeError of oneDNN when it was refused memory."""


T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused: by torch's error class on GPUs, by the error's text on CPUs."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        text in text_of(error) for text in OUT_OF_MEMORY + ONEDNN_REFUSED
    )


class Shrinkable(Protocol):
    """A tower that works in groups whose size it can reduce."""

    def shrink(self) -> bool:
        """Halve the size of groups; False if it cannot be reduced any further."""


def retry_with_less_memory(tower: Shrinkable, work: Callable[[], T]) -> T:
    """The result of `work()`, repeated with smaller groups until it fits in memory.

    If oneDNN was refused memory, it is turned off first. The last error is raised when the tower
    cannot shrink any further; other errors are raised at once.
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

    False if the error is not oneDNN's, or if oneDNN is off already. After a first error its code
    generator makes no kernel for a new shape as long as the thread lives, however small the shape
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
