"""Tensors of official checkpoints that several methods read."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from rppbench.contracts import ImportedState
from rppbench.errors import UsageError


def required(checkpoint: Mapping[str, Tensor], name: str) -> Tensor:
    """The named tensor. UsageError if the checkpoint lacks it."""
    if name not in checkpoint:
        some = ", ".join(sorted(checkpoint)[:8]) or "nothing"
        raise UsageError(f"no {name!r} in the checkpoint; it holds {some}")
    return checkpoint[name]


def imported_context(
    checkpoint: Mapping[str, Tensor], buffers: tuple[str, ...], *, class_specific: bool
) -> ImportedState:
    """A checkpoint whose only parameter is the context, as CoOp's: `ctx` beside token buffers.

    `buffers` are the beginnings of their names, which end in 'prefix' (the start token of each
    class) and 'suffix' (what follows the context). UsageError if it holds anything else.
    """
    context = required(checkpoint, "ctx")
    known = {"ctx", *(f"{name}{end}" for name in buffers for end in ("prefix", "suffix"))}
    if other := sorted(set(checkpoint) - known):
        raise UsageError(f"the checkpoint is of another method: it also holds {other[0]!r}")
    if context.ndim != 2 and not (class_specific and context.ndim == 3):
        raise UsageError(f"'ctx' has {context.ndim} dimensions, and not tokens by width")
    options = {"length": context.shape[-2]}
    if class_specific:
        options["class_specific"] = context.ndim == 3
    prefixes = [checkpoint[f"{name}prefix"] for name in buffers if f"{name}prefix" in checkpoint]
    start = start_token(prefixes[0]) if prefixes else None
    return ImportedState(options, {"context": context}, start)


def start_token(prefix: Tensor) -> Tensor:
    """(d,) of the start tokens (c, 1, d) of all classes, which are equal.

    UsageError if that is not their shape.
    """
    if prefix.ndim != 3 or not len(prefix) or prefix.shape[1] != 1:
        raise UsageError("the start tokens in the checkpoint are not one for each class")
    return prefix[0, 0]
