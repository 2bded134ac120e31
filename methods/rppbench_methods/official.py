"""Helpers of several methods for reading tensors from official checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from rppbench.contracts import ImportedState, Option
from rppbench.errors import UsageError


def required(checkpoint: Mapping[str, Tensor], name: str) -> Tensor:
    """The named tensor. UsageError if the checkpoint lacks it."""
    if name not in checkpoint:
        some = ", ".join(sorted(checkpoint)[:8]) or "nothing"
        raise UsageError(f"no {name!r} in the checkpoint; it holds {some}")
    return checkpoint[name]


def refuse_others(checkpoint: Mapping[str, Tensor], known: Sequence[str], head: str = "") -> None:
    """UsageError if a tensor's name begins with `head` and is not one of `known` behind it.

    The last part of a known name may be '*': any tensors below it.
    """
    below = tuple(one[:-1] for one in known if one.endswith(".*"))
    for name in sorted(checkpoint):
        own = name.removeprefix(head)
        if name.startswith(head) and own not in known and not own.startswith(below):
            raise UsageError(f"the checkpoint is of another method: it also holds {name!r}")


def imported_context(
    checkpoint: Mapping[str, Tensor],
    buffers: tuple[str, ...],
    *,
    class_specific: bool = False,
    more: Sequence[str] = (),
) -> ImportedState:
    """The context `ctx` in the checkpoint of a prompt learner, as CoOp's code saves it.

    Its token buffers have names that begin with one of `buffers` and end in 'prefix' (the start
    token of each class) or 'suffix' (the tokens after the context). `more` names further tensors,
    which this does not read. UsageError if the checkpoint lacks one of them or holds anything else.
    """
    context = required(checkpoint, "ctx")
    for name in more:
        required(checkpoint, name)
    known = [f"{name}{end}" for name in buffers for end in ("prefix", "suffix")]
    refuse_others(checkpoint, ["ctx", *known, *more])
    options: dict[str, Option] = {"length": check_context(context, class_specific)}
    if class_specific:
        options["class_specific"] = context.ndim == 3
    prefixes = [checkpoint[f"{name}prefix"] for name in buffers if f"{name}prefix" in checkpoint]
    start = start_token(prefixes[0]) if prefixes else None
    classes = len(context) if context.ndim == 3 else 0
    return ImportedState(
        options, {"context": context}, start, classes, suffix=checkpoint.get("token_suffix")
    )


def check_context(context: Tensor, class_specific: bool = False) -> int:
    """The number of tokens of a context. UsageError if it has too few or too many dimensions."""
    if context.ndim != 2 and not (class_specific and context.ndim == 3):
        raise UsageError(f"'ctx' has {context.ndim} dimensions, not two: tokens by width")
    return context.shape[-2]


def deep_text_state(checkpoint: Mapping[str, Tensor], *more: str) -> dict[str, Tensor]:
    """The state of `deep.deep_text` under the name 'text', of a model that IVLP's code saved.

    That file holds both towers; only what is learned is read. `more` are further
    names under 'prompt_learner.', as in `refuse_others`. UsageError if the file is of another
    method.
    """
    refuse_others(checkpoint, ["ctx", "token_prefix", "token_suffix", *more], "prompt_learner.")
    context = required(checkpoint, "prompt_learner.ctx")
    check_context(context)
    return _deep(checkpoint, "text", context)


def deep_image_state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of `deep.deep_image` under the name 'image', as `deep_text_state`."""
    return _deep(checkpoint, "image", required(checkpoint, "image_encoder.VPT"))


def _deep(
    checkpoint: Mapping[str, Tensor], tower: Literal["text", "image"], first: Tensor
) -> dict[str, Tensor]:
    """Learned tokens at the input and in blocks 1, 2, ... without a gap."""
    if first.ndim != 2:
        raise UsageError(f"the tokens of the {tower} tower have {first.ndim} dimensions, not two")
    head = f"{tower}_encoder.transformer.resblocks."
    pattern = re.compile(rf"{re.escape(head)}(\d{{1,4}})\.VPT_shallow")
    matches = map(pattern.fullmatch, checkpoint)
    blocks = sorted(int(match[1]) for match in matches if match)
    if blocks != list(range(1, len(blocks) + 1)):
        raise UsageError(
            f"the checkpoint has tokens in blocks {', '.join(map(str, blocks))} of the {tower} "
            "tower, counted from 0; those of the blocks between are missing"
        )
    deep = {
        f"{tower}.blocks.{block - 1}": checkpoint[f"{head}{block}.VPT_shallow"] for block in blocks
    }
    for name, tokens in deep.items():
        if tokens.shape != first.shape:
            shapes = " and ".join("x".join(map(str, one.shape)) for one in (first, tokens))
            raise UsageError(f"the tokens at the input and in {name!r} differ in shape: {shapes}")
    return {f"{tower}.input": first, **deep}


def imported_deep(
    checkpoint: Mapping[str, Tensor],
    text: Mapping[str, Tensor],
    image: Mapping[str, Tensor],
    **options: Option,
) -> ImportedState:
    """The state of a method with deep prompts in one tower or in both, and its sizes as options.

    UsageError if the towers have other numbers of tokens or blocks: no method here has.
    """
    towers = [part for part in (text, image) if part]
    (length, depth), *others = [(len(next(iter(part.values()))), len(part)) for part in towers]
    for longer, deeper in others:
        if (longer, deeper) != (length, depth):
            raise UsageError(
                f"the checkpoint has {length} tokens in {depth} blocks of the text tower, but "
                f"{longer} in {deeper} of the image tower; here both have the same length and depth"
            )
    sizes: dict[str, Option] = {"length": length, "depth": depth}
    return of_complete_model(checkpoint, {**sizes, **options}, {**text, **image})


def of_complete_model(
    checkpoint: Mapping[str, Tensor], options: Mapping[str, Option], state: Mapping[str, Tensor]
) -> ImportedState:
    """Options and state from the file of a complete model, with what it says of its towers."""
    prefix = checkpoint.get("prompt_learner.token_prefix")
    return ImportedState(
        options,
        state,
        None if prefix is None else start_token(prefix),
        suffix=checkpoint.get("prompt_learner.token_suffix"),
        class_embedding=checkpoint.get("image_encoder.class_embedding"),
    )


def start_token(prefix: Tensor) -> Tensor:
    """The start token (d,) that all classes share, from `prefix` (c, 1, d).

    UsageError if `prefix` has another shape.
    """
    if prefix.ndim != 3 or not len(prefix) or prefix.shape[1] != 1:
        raise UsageError("the start tokens in the checkpoint are not one for each class")
    return prefix[0, 0]
