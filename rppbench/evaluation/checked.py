"""What a method must give: prompts that fit the towers, logits of the right shape, a loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rppbench.contracts.method import Method, Tower
from rppbench.contracts.prompts import (
    Adapter,
    ClassAware,
    Conditional,
    Prompt,
    Prompts,
    Templates,
)
from rppbench.contracts.towers import ImageKind, TextKind
from rppbench.errors import ContractError, DivergedError
from rppbench.models.clip import Clip


def checked_prompts(method: Method, clip: Clip) -> Prompts:
    """The method's prompts. ContractError, which names the method, unless they fit the towers."""
    who = f"method {method.name!r}"
    prompts = method.prompts()
    if not isinstance(prompts, Prompts):
        raise ContractError(f"{who}: prompts() returns {type(prompts).__name__}, not Prompts")
    text, image = prompts.text, prompts.image
    if isinstance(text, Prompt):
        if not clip.text.obstacle:  # encoding it raises the proper error otherwise
            check_prompt(text, clip.text.kind, f"{who}: the text prompt", (2, 3))
    elif isinstance(text, Templates):
        for wording in text.wordings:
            if not isinstance(wording, str) or wording.count("{}") != 1:
                raise ContractError(f"{who}: the wording {wording!r:.60} must hold one '{{}}'")
    elif not isinstance(text, ClassAware | Conditional):
        raise ContractError(f"{who}: the text prompt is {type(text).__name__}")
    if image is not None:
        if not isinstance(image, Prompt):
            raise ContractError(f"{who}: the image prompt is {type(image).__name__}")
        if image.after_name is not None:
            raise ContractError(f"{who}: the image prompt has tokens after the name")
        if not clip.image.obstacle:
            check_prompt(image, clip.image.kind, f"{who}: the image prompt", (2,))
    return prompts


def check_prompt(
    prompt: Prompt, tower: TextKind | ImageKind, what: str, dimensions: tuple[int, ...]
) -> None:
    """ContractError, which says `what` it is, unless the prompt fits the tower.

    Its tokens have one of these numbers of `dimensions`: 3 if they are class-specific.
    """
    tokens, width, blocks = prompt.input, tower.width, len(tower.blocks)
    _check_tokens(tokens, width, what, dimensions)
    if prompt.after_name is not None:
        _check_tokens(prompt.after_name, width, f"{what}, after the name", dimensions)
    for name in ("stream", "queries", "keys", "values", "adapters"):
        learned = getattr(prompt, name)
        if not isinstance(learned, Mapping):
            raise ContractError(
                f"{what}: {name} is {type(learned).__name__}, not a mapping of blocks"
            )
        for block, vectors in learned.items():
            if type(block) is not int or not 0 <= block < blocks:
                raise ContractError(f"{what}: {name} names block {block!r:.40} of {blocks} blocks")
            here = f"{what}, {name} of block {block}"
            if name == "adapters":
                if not isinstance(vectors, Adapter):
                    raise ContractError(f"{here} is {type(vectors).__name__}, not an Adapter")
                continue
            _check_tokens(vectors, width, here, dimensions if name == "stream" else (2,))
            if vectors.shape[-2] > tokens.shape[-2]:
                raise ContractError(
                    f"{what}: {name} of block {block} has {vectors.shape[-2]} vectors, but only "
                    f"{tokens.shape[-2]} tokens enter with the input"
                )


def _check_tokens(tokens: Tensor, width: int, what: str, dimensions: tuple[int, ...]) -> None:
    if not isinstance(tokens, Tensor) or not tokens.is_floating_point():
        kind = tokens.dtype if isinstance(tokens, Tensor) else type(tokens).__name__
        raise ContractError(f"{what} is {kind}, not a tensor of floating-point numbers")
    if tokens.ndim not in dimensions or tokens.shape[-1] != width:
        shape = " or ".join(("(n, {0})", "(c, n, {0})")[d - 2].format(width) for d in dimensions)
        raise ContractError(f"{what} has shape {tuple(tokens.shape)}, not {shape}")


def prompted_towers(prompts: Prompts) -> set[Tower]:
    """The towers that vectors of these prompts enter."""
    towers: set[Tower] = set() if isinstance(prompts.text, Templates) else {"text"}
    return towers if prompts.image is None else towers | {"image"}


def checked_logits(name: str, logits: Tensor | None, rows: int, classes: int) -> Tensor | None:
    """Logits (rows, classes) of a method's `classify`. ContractError names the method."""
    if logits is None:
        return None
    who = f"method {name!r}: classify()"
    if not isinstance(logits, Tensor):
        raise ContractError(f"{who} returns {type(logits).__name__}, not a tensor")
    if not logits.is_floating_point():
        raise ContractError(f"{who} returns {logits.dtype}, not floating-point numbers")
    if tuple(logits.shape) != (rows, classes):
        raise ContractError(
            f"{who} returns shape {tuple(logits.shape)}, not {(rows, classes)}: one row for each "
            "image, one column for each class"
        )
    return logits


def checked_loss(method: Method, loss: Tensor) -> Tensor:
    """The () loss of a step. ContractError, which names the method, for anything else."""
    who = f"method {method.name!r}: loss()"
    if not isinstance(loss, Tensor) or not loss.is_floating_point():
        kind = loss.dtype if isinstance(loss, Tensor) else type(loss).__name__
        raise ContractError(f"{who} returns {kind}, not a tensor of a floating-point number")
    if loss.ndim:
        raise ContractError(f"{who} returns shape {tuple(loss.shape)}, not a single number")
    if not loss.requires_grad:
        raise ContractError(f"{who} returns a number that depends on none of its parameters")
    return loss


def refuse_nan(name: str, logits: Tensor) -> Tensor:
    """The logits or cosines. DivergedError if any is NaN: it would count as a class."""
    if torch.isnan(logits).any():
        who = f"method {name!r}" if name else "the model"
        raise DivergedError(f"{who} gives NaN in place of similarities")
    return logits
