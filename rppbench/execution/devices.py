"""CPU cores and GPUs of this machine, and the share of each worker."""

from __future__ import annotations

import os

from rppbench.contracts.backbone import PRECISIONS
from rppbench.errors import UsageError, unknown


def worker_environments(device: str, workers: int, batches: int) -> list[dict[str, str]]:
    """Environment variables to set for each worker; never more workers than batches.

    Cores are divided among the workers, unless OMP_NUM_THREADS says how many each may use. On
    'cuda' workers take the visible GPUs in turn; 'cuda:1' is one GPU for all of them.
    """
    workers = min(workers, batches)
    shared = {}
    if "OMP_NUM_THREADS" not in os.environ:
        shared["OMP_NUM_THREADS"] = str(max(1, cores() // max(workers, 1)))
    gpus = visible_gpus() if device == "cuda" else []
    return [
        {**shared, **({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {})}
        for number in range(workers)
    ]


def cores() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch  # takes seconds; runs on a CPU do not need it

    return [str(number) for number in range(torch.cuda.device_count())]


def torch_device(name: str, here: bool = True) -> str:
    """The device of this name, 'auto' resolved. UsageError if this machine does not have it.

    Unless the device is to be `here`, only its name is checked.
    """
    import torch

    cuda = torch.cuda.is_available()
    if name == "auto":
        if not here:
            raise UsageError("--device auto looks at this machine: say cpu or cuda for others")
        return "cuda" if cuda else "cpu"
    if name == "cpu":
        return name
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()):
        raise unknown("device is named", name, ("auto", "cpu", "cuda", "cuda:N"), "devices")
    if not here:
        return name
    count = torch.cuda.device_count() if cuda else 0
    if int(index or 0) >= count:
        raise UsageError(f"no device {name!r}: torch sees {count} CUDA devices here")
    return name


def check_precision(name: str, device: str, here: bool = True) -> None:
    """UsageError unless the frozen towers can run in this precision on this device.

    A device that is not `here` is not asked.
    """
    if name not in PRECISIONS:
        raise unknown("precision is named", name, PRECISIONS, "precisions")
    if name == "bf16" and here and device.startswith("cuda"):
        import torch

        if torch.cuda.get_device_capability(device)[0] < 7:  # not even emulated before Volta
            raise UsageError(f"device {device!r} cannot compute in bf16; take fp16 or fp32")
