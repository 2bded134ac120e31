"""A reader of untrusted torch checkpoints that runs none of their code, and checks of prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from rppbench.contracts.checkpoint import ImportedState
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompt
from rppbench.errors import UsageError
from rppbench.models.clip import Clip

ALONE = "tensor"
"""Name of the tensor of a file that holds a single one."""


class _Discarded:
    """An empty object in place of one whose state is not needed, such as an optimizer."""

    def __setstate__(self, state: object) -> None:
        pass


class _PlainDict:
    """A plain dict in place of a `defaultdict`, whose default factory would be code to call."""

    def __new__(cls, factory: object) -> Any:
        return {}


def _stand_in(kind: type, module: str, name: str) -> type:
    """A subclass of `kind` that torch loads wherever a file names `module.name`."""
    return type(name, (kind,), {"__module__": module})


# Dassl's trainers also save their scheduler, which holds a second one and an optimizer.
_STAND_INS: list[Any] = [
    *(
        _stand_in(_Discarded, "torch.optim.lr_scheduler", name)
        for name in ("CosineAnnealingLR", "MultiStepLR", "StepLR")
    ),
    _stand_in(_Discarded, "torch.optim.sgd", "SGD"),
    _stand_in(_Discarded, "torch.optim.adam", "Adam"),
    _stand_in(_PlainDict, "collections", "defaultdict"),
    dict,
]


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """The tensors of a checkpoint by name (floats as float32), and its epoch if the file has one.

    Tensors and numbers of inner mappings have the names of all levels, joined by points; other
    values of inner mappings, such as words, are left out. A single tensor without a name is called
    `ALONE`.
    Only tensors and plain values are read (`weights_only`). UsageError if the file cannot be
    read, is not a torch checkpoint, or is neither a plain tensor nor a mapping of names to such.
    """
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except UnpicklingError as error:
        unsafe = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise UsageError(
            f"{path} is not a torch checkpoint, or holds more than tensors and plain values"
            + (f": {unsafe[1]}" if unsafe else "")
            + "\nno code in it was run"
        ) from error
    except Exception as error:  # any part of torch's reader may fail on a file of another format
        raise UsageError(f"{path} is not a complete torch checkpoint: {error!r}") from error
    epoch: Any = None
    if isinstance(content, Tensor):
        content = {ALONE: content}
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content, epoch = content["state_dict"], content.get("epoch")
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{path} holds no named tensors")
    content = _flat(content)
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UsageError(f"{path} holds no named tensors: {name!r} is not one")
        if not _is_plain(value):
            raise UsageError(f"{path}: {name!r} is no plain tensor of real numbers with values")
    state = {
        name: value.detach().float() if value.is_floating_point() else value
        for name, value in content.items()
    }
    return state, epoch if isinstance(epoch, int) else None


def read_tensor(path: Path) -> Tensor:
    """The tensor of a file that holds a single one, as `read_checkpoint` reads it.

    UsageError for any other file.
    """
    tensors, _ = read_checkpoint(path)
    if tensors.keys() != {ALONE}:
        raise UsageError(f"{path} holds named tensors, not a single one")
    return tensors[ALONE]


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor is dense, real and in memory: others break what computes with them."""
    special = value.is_quantized or value.is_complex() or value.device.type == "meta"
    return value.layout is torch.strided and not special


def _flat(content: dict[Any, Any]) -> dict[Any, Any]:
    """The content without inner mappings: their tensors and numbers under joined names."""
    flat: dict[Any, Any] = {}
    for name, value in content.items():
        if not isinstance(value, dict):
            flat[name] = value
            continue
        for inner, part in _flat(value).items():
            if isinstance(part, Tensor | int | float):
                flat[f"{name}.{inner}"] = torch.as_tensor(part)
    return flat


def check_backbone(imported: ImportedState, clip: Clip) -> None:
    """Check that the prompt was learned on this backbone, by frozen vectors in the checkpoint.

    They may be rounded to float16. UsageError if one differs from the backbone's own by more than
    1 % of its norm.
    """
    if imported.start_token is not None:
        kind = clip.text.kind
        own = kind.vocabulary[list(kind.tokens.start)[:1]].reshape(-1)
        _check_same(imported.start_token, own, "start token", clip)
    if imported.class_embedding is not None:
        own = clip.model.state_dict().get("visual.class_embedding", torch.empty(0))
        _check_same(imported.class_embedding, own, "image class token", clip)


def _check_same(theirs: Tensor, own: Tensor, part: str, clip: Clip) -> None:
    if not _same(theirs, own):
        raise UsageError(
            f"the checkpoint was learned on another backbone than {clip.name}: its {part} "
            "has another embedding"
        )


def check_suffix(imported: ImportedState, method: Method, names: Sequence[str], clip: Clip) -> None:
    """Check that the words behind the learned tokens in the checkpoint are those used here.

    `names` are the classes it was learned on; () checks the fixed words alone. UsageError if the
    names are not as many as in the checkpoint, or a word is another.
    """
    suffix, prompts = imported.suffix, method.prompts()
    if suffix is None:
        return
    if suffix.ndim != 3 or not len(suffix):
        raise UsageError(
            "the tokens behind the prompt in the checkpoint are not a row for each class"
        )
    fixed = suffix[0, :0]
    if isinstance(text := prompts.text, Prompt) and text.input.ndim == 2:
        fixed = text.input[int(imported.options["length"]) :].detach().float().cpu()
    if len(fixed) and not _same(suffix[0, : len(fixed)], fixed):
        raise UsageError(
            "other words follow the learned tokens in the checkpoint than with this 'init': "
            "it was trained from other words, or at random (init=)"
        )
    if not names:
        return
    if len(names) != len(suffix):
        raise UsageError(
            f"the checkpoint was learned on {len(suffix)} classes, {len(names)} are named"
        )
    rows = clip.names(names, prompts.wording("{}."))
    for name, ids, length, row in zip(names, rows.ids, rows.lengths, suffix, strict=True):
        own = clip.text.kind.words(ids[:length].to(clip.device)).detach().float().cpu()
        if not _same(row[len(fixed) : len(fixed) + int(length)], own):
            raise UsageError(
                f"{name!r} is not the name that the checkpoint has at its place: give the names "
                "of the training, in the order of their labels"
            )


def _same(theirs: Tensor, own: Tensor) -> bool:
    """Whether vectors are equal up to rounding to float16."""
    own = own.detach().float().cpu()
    return theirs.shape == own.shape and bool((theirs - own).norm() <= 0.01 * own.norm())
