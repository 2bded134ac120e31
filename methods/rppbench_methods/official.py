"""Helpers of several methods for reading tensors from official checkpoints."""

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
    """The state in a checkpoint whose only parameter is the context `ctx`, as in CoOp's.

    Its token buffers have names that begin with one of `buffers` and end in 'prefix' (the start
    token of each class) or 'suffix' (the tokens after the context). UsageError if the checkpoint
    holds anything else.
    """
    context = required(checkpoint, "ctx")
    known = {"ctx", *(f"{name}{end}" for name in buffers for end in ("prefix", "suffix"))}
    if other := sorted(set(checkpoint) - known):
        raise UsageError(f"the checkpoint is of another method: it also holds {other[0]!r}")
    if context.ndim != 2 and not (class_specific and context.ndim == 3):
        raise UsageError(f"'ctx' has {context.ndim} dimensions, not two: tokens by width")
    options = {"length": context.shape[-2]}
    if class_specific:
        options["class_specific"] = context.ndim == 3
    prefixes = [checkpoint[f"{name}prefix"] for name in buffers if f"{name}prefix" in checkpoint]
    start = start_token(prefixes[0]) if prefixes else None
    classes = len(context) if context.ndim == 3 else 0
    return ImportedState(options, {"context": context}, start, classes)


def start_token(prefix: Tensor) -> Tensor:
    """The start token (d,) that all classes share, from `prefix` (c, 1, d).

    UsageError if `prefix` has another shape.
    """
    if prefix.ndim != 3 or not len(prefix) or prefix.shape[1] != 1:
        raise UsageError("the start tokens in the checkpoint are not one for each class")
    return prefix[0, 0]
