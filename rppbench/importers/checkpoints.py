"""Checkpoints of other people's code, read without running any of it."""

from __future__ import annotations

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from rppbench.errors import UsageError
from rppbench.models.clip import Clip


class _Skipped:
    """Takes the place of an object in a checkpoint that nobody needs, whatever its state is."""

    def __setstate__(self, state: object) -> None:
        pass


class _Plain:
    """Makes a plain dict where a checkpoint has one with a default."""

    def __new__(cls, default: object) -> Any:
        return {}


def _stand_in(kind: type, module: str, name: str) -> type:
    """An own class that torch takes for the named one while it reads a file."""
    return type(name, (kind,), {"__module__": module})


# Dassl's trainers save their scheduler too, and in it a scheduler and an optimiser as objects.
_STAND_INS: list[Any] = [
    *(
        _stand_in(_Skipped, "torch.optim.lr_scheduler", name)
        for name in ("CosineAnnealingLR", "MultiStepLR", "StepLR")
    ),
    _stand_in(_Skipped, "torch.optim.sgd", "SGD"),
    _stand_in(_Plain, "collections", "defaultdict"),
    dict,
]


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """The tensors of a checkpoint by name, floats in float32, and its epoch if it tells.

    Only tensors and plain values are read (`weights_only`). UsageError for a file that is not
    there, not one of torch, or that holds no tensors under names.
    """
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise UsageError(
            f"{path} is no checkpoint of torch, or holds more than tensors and plain values"
            + (f": {found[1]}" if found else "")
            + "\nnothing of it was run"
        ) from error
    except Exception as error:  # of a file that is none, any part of the reader may stumble
        raise UsageError(f"{path} is no whole checkpoint of torch: {error!r}") from error
    epoch: Any = None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content, epoch = content["state_dict"], content.get("epoch")
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{path} holds no tensors under names")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UsageError(f"{path} holds no tensors under names: {name!r} is none")
    state = {
        name: value.float() if value.is_floating_point() else value
        for name, value in content.items()
    }
    return state, epoch if isinstance(epoch, int) else None


def check_start(start: Tensor, clip: Clip) -> None:
    """UsageError unless (d,) is the backbone's embedding of the start token, up to float16."""
    embedding = clip.text.module.token_embedding.weight
    own = embedding[clip.tokenizer.sot_token_id].detach().float().cpu()
    if start.shape != own.shape or (start - own).norm() > 0.01 * own.norm():
        raise UsageError(
            f"the checkpoint was learned on another backbone than {clip.name}: its start token "
            "has another embedding"
        )
