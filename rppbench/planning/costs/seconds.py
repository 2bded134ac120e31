"""Seconds that cells take before any has run: operations over the speed of a device."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch

from rppbench.contracts.dataset import Dataset
from rppbench.errors import UsageError
from rppbench.planning.costs.operations import ASSUMED, Operations, Work
from rppbench.plugins.containment import contained, uncontained
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Training

SHARE = 0.5
"""Speed of the towers as a share of that of a product of large matrices; `docs/cost.md` compares
what follows with recorded seconds."""
SIDE = {"cpu": 256, "cuda": 4096}
"""Size of the measured products: large enough that starting one takes no part of the time, and
small enough that one ends before another program gets its turn."""
PRODUCTS = 20
"""Least number of measured products."""
MEASURED_SECONDS = 0.05
READ_SECONDS = 0.006
"""Time to decode, resize and normalise a JPEG file of 500 x 375 pixels on one core of a busy
machine (`benchmarks/input_pipeline.py`; on a quiet one 0.0024)."""


class Seconds:
    """A model of seconds, as `planning.status.Model`; `opened` as for `Operations`.

    `device` is None for a device of another machine. `workers` read images at once.
    """

    def __init__(
        self,
        registry: Registry,
        opened: Mapping[str, Dataset],
        device: str | None,
        workers: int,
    ) -> None:
        self.registry, self.device, self.workers = registry, device, max(workers, 1)
        # A method that is not well could end this process: a plan does not build it.
        self.operations = Operations(registry, opened, build=False)

    def __call__(self, cell: Cell, trainings: Sequence[Training]) -> float | None:
        try:
            with contained():
                seconds = self._of(cell.dataset, self.operations.of_scoring(cell))
                for training in trainings:
                    seconds += self._of(training.source, self.operations.of_training(training))
        except UsageError:
            return None
        except Exception:  # the code of a method, which the run reports
            if uncontained():
                raise
            return None
        return None if math.isnan(seconds) else seconds

    def _of(self, dataset: str, work: Work) -> float:
        component: type[Dataset] = self.registry.get("datasets", dataset)
        read = 0.0 if component.generated else READ_SECONDS * work.images / self.workers
        return read + work.operations / self.speed

    @cached_property
    def speed(self) -> float:
        """Operations of the towers in a second."""
        return ASSUMED if self.device is None else speed(self.device)


def speed(device: str) -> float:
    """Floating-point operations of the towers a second on a device of this machine."""
    kind = torch.device(device).type
    side = SIDE.get(kind, SIDE["cpu"])
    factors = torch.randn(2, side, side, device=device)
    threads = torch.get_num_threads()
    # Threads wait for each other: on a busy machine no product of several ends in its turn.
    torch.set_num_threads(1)
    until = time.perf_counter() + MEASURED_SECONDS
    times: list[float] = []
    try:
        while len(times) < PRODUCTS or time.perf_counter() < until:
            times.append(_multiply(factors))
    finally:
        torch.set_num_threads(threads)
    # The shortest: others waited for programs that share the device.
    alone = SHARE * 2 * side**3 / min(times)
    return alone * threads if kind == "cpu" else alone


def _multiply(factors: torch.Tensor) -> float:
    """Seconds of one product."""
    began = time.perf_counter()
    product = factors[0] @ factors[1]
    if product.is_cuda:
        torch.cuda.synchronize(product.device)
    return time.perf_counter() - began
