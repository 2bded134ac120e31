"""Peak memory of a section of code."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


def reset_peak(device: str) -> None:
    """Start a new section. If the kernel cannot reset the peak, it covers the process so far."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, the resident peak
        except OSError:
            return


def peak_bytes(device: str) -> int:
    """Peak in bytes since `reset_peak`: allocated on the GPU, or resident in this process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
