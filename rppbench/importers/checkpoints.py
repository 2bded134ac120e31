"""A reader of untrusted torch checkpoints: it returns tensors and runs no code of the file."""

from __future__ import annotations

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from rppbench.errors import UsageError
from rppbench.models.clip import Clip


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
    values of inner mappings, such as words, are left out.
    Only tensors and plain values are read (`weights_only`). UsageError if the file cannot be
    read, is not a torch checkpoint, or is not a mapping of names to tensors.
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
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content, epoch = content["state_dict"], content.get("epoch")
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{path} holds no named tensors")
    content = _flat(content)
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UsageError(f"{path} holds no named tensors: {name!r} is not one")
    state = {
        name: value.float() if value.is_floating_point() else value
        for name, value in content.items()
    }
    return state, epoch if isinstance(epoch, int) else None


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


def check_start_token(start: Tensor, clip: Clip) -> None:
    """Check that the prompt was learned on this backbone, by its embedding of the start token.

    start: [D], the embedding in the checkpoint, possibly rounded to float16; D is the text width.
    UsageError if the backbone's own embedding differs by more than 1 % of its norm.
    """
    kind = clip.text.kind
    own = kind.vocabulary[list(kind.tokens.start)[:1]].detach().float().cpu().reshape(-1)
    if start.shape != own.shape or (start - own).norm() > 0.01 * own.norm():
        raise UsageError(
            f"the checkpoint was learned on another backbone than {clip.name}: its start token "
            "has another embedding"
        )
