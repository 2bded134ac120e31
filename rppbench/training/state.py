"""The state of a training on disk: parameters, optimiser and progress in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from rppbench.contracts.method import Method
from rppbench.errors import UsageError
from rppbench.files.atomic import replacing
from rppbench.files.tensors import read_tensors

KEPT = {
    "momentum": "momentum_buffer",
    "average": "average",
    "first": "exp_avg",
    "second": "exp_avg_sq",
    "count": "step",
}
"""Entries of the optimiser's state for each parameter, by their prefix in the file."""


@dataclass(frozen=True)
class Progress:
    """How far a training is; stored beside the parameters, so that it resumes exactly there."""

    step: int = 0
    seconds: float = 0.0
    epoch_loss: float = 0.0
    """Sum over the running epoch's steps."""
    epoch_right: int = 0
    epoch_seen: int = 0
    log: tuple[Mapping[str, float], ...] = ()
    train_loss: float | None = None
    """Loss of the final prompts on training images; None before the end."""
    scaler: Mapping[str, float] = field(default_factory=dict)
    """State of the gradient scaler of float16 towers; {} in other types."""
    draw: str = ""
    """Digest of the training images that were drawn, in order."""


def save_state(
    path: Path,
    key: str,
    method: Method,
    optimiser: torch.optim.Optimizer | None,
    progress: Progress,
) -> None:
    """Write parameters, the optimiser's state (if given) and progress to one file, atomically."""
    tensors = {f"method.{name}": value.contiguous() for name, value in method.state_dict().items()}
    if optimiser is not None:
        for name, parameter in method.named_parameters():
            state = optimiser.state.get(parameter, {})
            for prefix, entry in KEPT.items():
                if state.get(entry) is not None:
                    tensors[f"{prefix}.{name}"] = state[entry].contiguous()
    metadata = {"training": key, "progress": json.dumps(vars(progress))}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_state(
    path: Path, key: str, method: Method, optimiser: torch.optim.Optimizer | None = None
) -> Progress:
    """Fill the method (and the optimiser) from a file that `save_state` wrote for this training.

    A file that is missing, damaged or of another training changes nothing: progress starts at 0.
    """
    try:
        metadata, tensors = read_tensors(path)
        if metadata.get("training") != key:
            return Progress()
        values = json.loads(metadata["progress"])
        progress = Progress(**{**values, "log": tuple(values["log"])})
        method.load_state_dict(_with_prefix("method.", tensors))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError):
        return Progress()
    if optimiser is not None:
        for prefix, entry in KEPT.items():
            stored = _with_prefix(f"{prefix}.", tensors)
            for name, parameter in method.named_parameters():
                if name in stored:
                    optimiser.state[parameter][entry] = stored[name].to(parameter.device)
    return progress


def learned_parameters(path: Path, key: str) -> dict[str, Tensor]:
    """The method's state in a file of `save_state`. UsageError unless it is of this training."""
    try:
        metadata, tensors = read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"no learned prompts in {path}: {error}") from error
    if metadata.get("training") != key:
        raise UsageError(f"{path} does not hold the prompts of training {key}")
    return _with_prefix("method.", tensors)


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
