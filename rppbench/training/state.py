"""The state of a training on disk: parameters, optimiser and progress in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from rppbench.contracts.method import Method
from rppbench.errors import UsageError
from rppbench.files.tensors import DamagedTensorsError, read_tensors, write_tensors
from rppbench.planning.code_digests import changed, in_words
from rppbench.records.record import other_contents

KEPT = {
    "momentum": "momentum_buffer",
    "average": "average",
    "first": "exp_avg",
    "second": "exp_avg_sq",
    "count": "step",
}
"""Entries of the optimiser's state for each parameter, by their prefix in the file."""


NO_CODE: Mapping[str, str] = {}


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
    contents: Mapping[str, str] = field(default_factory=dict)
    """Digests of the data that it learns from, by part; {} in states from before there were any."""
    few_images: str = ""
    """A line on the classes that have fewer images than shots; '' if there are none."""


def save_state(
    path: Path,
    key: str,
    method: Method,
    optimiser: torch.optim.Optimizer | None,
    progress: Progress,
    code: Mapping[str, str] = NO_CODE,
) -> None:
    """Write parameters, the optimiser's state (if given) and progress to one file, atomically.

    code: digests of the source that the training ran, by component.
    """
    tensors = {f"method.{name}": value for name, value in method.state_dict().items()}
    if optimiser is not None:
        for name, parameter in method.named_parameters():
            state = optimiser.state.get(parameter, {})
            for prefix, entry in KEPT.items():
                if state.get(entry) is not None:
                    tensors[f"{prefix}.{name}"] = state[entry]
    metadata = {"training": key, "progress": json.dumps(vars(progress))}
    if code:
        metadata["code"] = json.dumps(dict(code), sort_keys=True)
    write_tensors(path, tensors, metadata)


def load_state(
    path: Path,
    key: str,
    method: Method,
    optimiser: torch.optim.Optimizer | None = None,
    *,
    contents: Mapping[str, str] | None = None,
    code: Mapping[str, str] = NO_CODE,
    warn: Callable[[str], None] = lambda line: None,
) -> Progress:
    """Fill the method (and the optimiser) from a file that `save_state` wrote for this training.

    A file that is missing, damaged, of another training, of other `code` or learned from other data
    than `contents` changes nothing: progress starts at 0. `warn` is called with the reason, unless
    the file is only missing.
    """
    try:
        metadata, tensors = _read(path, key)
        if others := _changed_code(metadata, code):
            raise ValueError(f"they were learned before the code of {others} changed")
        values = json.loads(metadata["progress"])
        progress = Progress(**{**values, "log": tuple(values["log"])})
        if other_contents(progress.contents, contents or {}):
            raise ValueError("they were learned from data that have changed since")
        _fill(method, _with_prefix("method.", tensors))
    except FileNotFoundError:
        return Progress()
    except (OSError, KeyError, ValueError, TypeError) as error:
        warn(f"{path} is not used, and the prompts are learned again: {error}")
        return Progress()
    if optimiser is not None:
        for prefix, entry in KEPT.items():
            stored = _with_prefix(f"{prefix}.", tensors)
            for name, parameter in method.named_parameters():
                if name in stored:
                    optimiser.state[parameter][entry] = stored[name].to(parameter.device)
    return progress


def learned_parameters(
    path: Path, key: str, code: Mapping[str, str] = NO_CODE
) -> dict[str, Tensor]:
    """The method's state in a file of `save_state`.

    UsageError unless the file is intact, of this training and learned with this code.
    """
    again = "run the cell again with --overwrite=always to learn them anew"
    try:
        metadata, tensors = _read(path, key)
    except OSError as error:
        raise UsageError(f"no learned prompts in {path}: {error.strerror or error}") from error
    except DamagedTensorsError as error:
        raise UsageError(f"the prompts in {path} cannot be used: {error}\n{again}") from error
    if others := _changed_code(metadata, code):
        raise UsageError(
            f"the prompts in {path} were learned before the code of {others} changed\n"
            "run the cell again, or with --accept-code if the change touches no number"
        )
    return _with_prefix("method.", tensors)


def accept_code(path: Path, key: str, code: Mapping[str, str]) -> bool:
    """Write that stored prompts are those of this code too; whether the file was intact."""
    try:
        metadata, tensors = _read(path, key)
    except (OSError, DamagedTensorsError):
        return False
    write_tensors(path, tensors, {**metadata, "code": json.dumps(dict(code), sort_keys=True)})
    return True


def _changed_code(metadata: Mapping[str, str], code: Mapping[str, str]) -> str:
    """The components, in words, whose source is not that of the stored training."""
    return ", ".join(map(in_words, changed(json.loads(metadata.get("code", "{}")), code)))


def _read(path: Path, key: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    metadata, tensors = read_tensors(path)
    if metadata.get("training") != key:
        raise DamagedTensorsError(f"holds the prompts of another training than {key}")
    return metadata, tensors


def _fill(method: Method, state: Mapping[str, Tensor]) -> None:
    """Load the state. ValueError, before anything is changed, if it does not fit the method.

    torch itself would copy the tensors that fit before it reports those that do not.
    """
    own = method.state_dict()
    for name in sorted(own.keys() | state.keys()):
        if name not in own or name not in state or own[name].shape != state[name].shape:
            raise ValueError(f"its parameter {name!r} does not fit the method")
    method.load_state_dict(dict(state))


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
