"""The processes that torchrun starts: one runs the command, the others help with its trainings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rppbench.data.root import use_data, use_partial
from rppbench.errors import LostError, unknown
from rppbench.execution.devices import torch_device
from rppbench.files.sizes import parse_size
from rppbench.planning.settings import Settings

if TYPE_CHECKING:  # needs torch
    from rppbench.execution.runner import Runner


def helps() -> bool:
    """Whether torchrun started this process as a helper of the one that runs the command."""
    return int(os.environ.get("RANK", "0")) > 0 and "TORCHELASTIC_RUN_ID" in os.environ


def help_on(chosen: Settings) -> int:
    """Help with the trainings of the process that runs the command; 1 if that process died."""
    from rppbench.execution.runner import follow
    from rppbench.training.distributed import joined

    if chosen.dry_run:
        return 0
    if chosen.data is not None:
        use_data(Path(chosen.data).expanduser())
    use_partial(chosen.partial)
    runner = runner_of(chosen)
    try:
        with joined(runner.device) as runner.group:
            follow(runner)
    except LostError:
        return 1
    return 0


def runner_of(chosen: Settings, here: bool = True) -> Runner:
    """The runner of cells under these settings, on this machine or on another."""
    from rppbench.execution.runner import (
        Runner,  # imports open_clip, which a finished grid does not need
    )

    return Runner(Path(chosen.output), **runner_options(chosen, here))


def runner_options(chosen: Settings, here: bool = True) -> dict[str, Any]:
    """Arguments of a runner besides its folder. UsageError for an invalid setting."""
    from rppbench.training.distributed import launched, own_device

    device = torch_device(chosen.device, here)
    if chosen.compile is not None:
        import torch

        backends = torch.compiler.list_backends(exclude_tags=())
        if chosen.compile not in backends:
            raise unknown("backend of torch.compile is named", chosen.compile, backends, "backends")
    return {
        "device": own_device(device) if launched() else device,
        "batch_size": chosen.batch_size,
        # Images that other processes read could not be debugged.
        "num_workers": 0 if chosen.debug else chosen.num_workers,
        "inference_cost": chosen.inference_cost,
        "compile": chosen.compile,
        "memory": parse_size(chosen.memory, "--memory") if chosen.memory else None,
        "retrain": chosen.overwrite == "always",
        "stop_on_failure": chosen.fail_on_error,
        "trust_data": chosen.trust_data,
        "data_since": chosen.data_since,
    }
