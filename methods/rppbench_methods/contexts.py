"""How learned tokens and layers start, from official checkpoints too, and whether they fit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rppbench.contracts import Adopted, Space
from rppbench.errors import UsageError


def context(space: Space, length: int, init: str = "") -> Tensor:
    """(length, d) where text tokens start: from the words of `init`, as far as they reach.

    What the words do not fill, and everything if `init` is empty, comes from N(0, 0.02^2).
    """
    check(space, "text", length)
    start = space.normal(length, space.text_width).detach()
    if init:
        words = space.words(init)[:length]
        start = torch.cat([words.to(start), start[len(words) :]])
    return start


def linear(space: Space, inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A layer that starts as torch has it, but on the method's own stream."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    bound = inputs**-0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=space.generator)
    return layer


def check(space: Space, tower: str, length: int, depth: int = 0) -> None:
    """UsageError if the tower takes no prompt, or the prompt no sensible size."""
    layers = space.text_layers if tower == "text" else space.image_layers
    if not layers:
        raise UsageError(
            f"the {tower} tower of this backbone cannot be prompted: "
            "it is no plain transformer; `rppbench info rpp` says which options avoid it"
        )
    if length < 1:
        raise UsageError(f"length is the number of learned tokens, at least 1, not {length}")
    if not 0 <= depth <= layers:
        raise UsageError(f"depth is 0 to {layers} for the {tower} tower of this backbone")


def taken(checkpoint: Mapping[str, Tensor], name: str) -> Tensor:
    """The named tensor of an official checkpoint. UsageError if it is not there."""
    if name not in checkpoint:
        some = ", ".join(sorted(checkpoint)[:8]) or "nothing"
        raise UsageError(f"no {name!r} in the checkpoint; it holds {some}")
    return checkpoint[name]


def adopted_context(
    checkpoint: Mapping[str, Tensor], buffers: tuple[str, ...], *, class_specific: bool
) -> Adopted:
    """A checkpoint in which only a context was learned, as CoOp's: `ctx` beside token buffers.

    `buffers` are the prefixes of those: their names go on with 'prefix' (the start token of each
    class) and 'suffix' (what follows the context). UsageError if there is anything else.
    """
    context = taken(checkpoint, "ctx")
    known = {"ctx", *(f"{name}{end}" for name in buffers for end in ("prefix", "suffix"))}
    if other := sorted(set(checkpoint) - known):
        raise UsageError(f"the checkpoint is of another method: it also holds {other[0]!r}")
    if context.ndim != 2 and not (class_specific and context.ndim == 3):
        raise UsageError(f"'ctx' has {context.ndim} dimensions, and not tokens by width")
    options = {"length": context.shape[-2]}
    if class_specific:
        options["class_specific"] = context.ndim == 3
    starts = [checkpoint[f"{name}prefix"] for name in buffers if f"{name}prefix" in checkpoint]
    return Adopted(options, {"context": context}, first_token(starts[0]) if starts else None)


def first_token(prefix: Tensor) -> Tensor:
    """(d,) of the start tokens (c, 1, d) of all classes, which are equal. UsageError if none."""
    if prefix.ndim != 3 or not len(prefix) or prefix.shape[1] != 1:
        raise UsageError("the start tokens in the checkpoint are not one for each class")
    return prefix[0, 0]
