"""Data parallel: processes that torchrun starts share every step of a training.

The first process runs the command: it plans, scores and writes. The others wait for a training and
help with it. In a step each process encodes its share of the images and of the candidate classes;
the features are gathered, and each computes the loss of the whole batch. So whatever couples a
batch (batch norm, sampled classes, a loss of the method's own) sees the same batch as in one
process, and the prompts are the same up to rounding.

Control and data go through gloo on CPUs and NCCL on GPUs, which mmengine's `dist` does not do in
one group.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rppbench.errors import LostError, UsageError
from rppbench.records.record import Failure
from rppbench.training.failures import PeerError, failure_of

WAIT = timedelta(days=1)
"""The others wait while the first process scores. That one has died is seen at once without it."""

TOGETHER = 16
"""Batches that each process encodes before the first one can keep what all have made."""

T = TypeVar("T")


@dataclass(eq=False)
class Group:
    """The processes that share a training, as one of them sees it; by itself if there is one."""

    rank: int = 0
    size: int = 1
    lost: bool = False
    """Whether another process is gone: nothing more can be done together."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that runs the command."""
        return self.rank == 0

    def share(self, count: int, what: str) -> Tensor:
        """Positions of this process's part of so many things. UsageError if one has no part."""
        if count < self.size:
            raise UsageError(
                f"a step with {count} {what} cannot be shared by {self.size} processes; start at "
                f"most {count}"
            )
        return torch.arange(self.rank, count, self.size)

    def batches(self, count: int, size: int) -> Tensor:
        """Positions of this process's part of so many things, in whole batches as one process has.

        Rows of a product may be rounded otherwise in another batch: what is stored must not be.
        """
        return torch.cat([*torch.arange(count).split(size)[self.rank :: self.size], _NONE])

    def gather(self, own: Tensor, rows: Tensor, count: int) -> Tensor:
        """(count, ...) of all processes, of which `own` are those at `rows`.

        Differentiable: see `average`.
        """
        if self.size == 1:
            return own
        return _Gather.apply(own, rows, count, self)  # type: ignore[no-untyped-call]

    def stored(
        self,
        get: Callable[[Callable[[Sequence[int]], Iterable[Tensor]]], Tensor],
        encode: Callable[[Sequence[int], int, int], Iterable[Tensor]],
        size: int,
    ) -> Tensor:
        """(n, e) of what the first process's store has or computes, `get(compute)`, in all of them.

        What has to be computed, `encode(picks, done, total)`, all compute, in batches of `size`;
        `done` and `total` say how many images were before these, and are in all. The others do
        not look into a store: a folder need not be shared by machines.
        """
        if self.size == 1:
            return get(lambda picks: encode(picks, 0, len(picks)))

        def together(picks: Sequence[int], done: int, total: int) -> Tensor:
            rows = self.batches(len(picks), size)
            own = torch.cat(list(encode([picks[row] for row in rows.tolist()], done, total)))
            return self.gather(own, rows, len(picks))

        if not self.first:
            while (part := self.same(_NOTHING)) is not None:
                together(*part)
            count, width = self.same((0, 0))
            return self.gather(torch.zeros(0, width), _NONE, count)

        def compute(picks: Sequence[int]) -> Iterator[Tensor]:
            most = TOGETHER * self.size * size
            for start in range(0, len(picks), most):
                part = list(picks[start : start + most]), start, len(picks)
                yield together(*self.same(part))

        found = get(compute)
        self.same(None)
        count, width = self.same(tuple(found.shape))
        return self.gather(found, torch.arange(count), count)

    def average(self, parameters: Sequence[Tensor]) -> None:
        """Put the mean of all processes' gradients in their place.

        Each has the whole loss, so the mean leaves what the loss takes from a parameter itself;
        what reaches it through features comes from one process for each feature, and `gather` has
        multiplied it with the number of processes. A parameter without a gradient stays without.
        """
        if self.size == 1 or not parameters:
            return
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        has = grads[0].new_tensor([p.grad is not None for p in parameters])
        flat = torch.cat([has, *(grad.flatten() for grad in grads)])
        self._sum(flat)
        has, *parts = flat.split([len(grads), *(grad.numel() for grad in grads)])
        for parameter, grad, part, any_has in zip(
            parameters, grads, parts, has.tolist(), strict=True
        ):
            if any_has:
                parameter.grad = part.view_as(grad) / self.size

    def same(self, value: T) -> T:
        """What the first process gives, in all processes."""
        if self.size == 1:
            return value
        self._check()
        return self._spread(value)

    def call(self, work: Any) -> None:
        """Send the other processes what to work on; None ends them."""
        if self.size > 1 and not self.lost:
            self._spread(work)

    def heard(self) -> Any:
        """What the first process calls for."""
        return self._spread(None)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Work that all processes do. If one fails in it, all do: with PeerError, or its own."""
        if self.size == 1:
            yield
            return
        try:
            yield
            self._check()
        except (PeerError, LostError):
            raise  # all know
        except Exception as error:
            self._tell(failure_of(error))
            raise

    def _check(self) -> None:
        """PeerError if another process failed since the last time they met."""
        self._tell(None)

    def _tell(self, failure: Failure | None) -> None:
        """Meet the others; each says whether it failed."""
        failed = torch.tensor([0 if failure is None else 1])
        self._talk(lambda: dist.all_reduce(failed))
        if not failed.item():
            return
        said: list[Any] = [None] * self.size
        self._talk(lambda: dist.all_gather_object(said, failure))
        if failure is None:
            rank, theirs = next((r, said) for r, said in enumerate(said) if said is not None)
            raise PeerError(rank, theirs)

    def _sum(self, values: Tensor) -> None:
        self._check()
        self._talk(lambda: dist.all_reduce(values))

    def _spread(self, value: T) -> T:
        box: list[Any] = [value]
        self._talk(lambda: dist.broadcast_object_list(box, src=0, device=torch.device("cpu")))
        return box[0]

    def _talk(self, action: Callable[[], object]) -> None:
        """LostError if the others cannot be reached."""
        try:
            action()
        except RuntimeError as error:
            self.lost = True
            raise LostError(f"another process of this training is gone ({error})") from error


ALONE = Group()
_NONE = torch.zeros(0, dtype=torch.int64)
_NOTHING: Any = None


class _Gather(torch.autograd.Function):
    """Rows of all processes; the gradient of the own ones, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, rows: Tensor, count: int, group: Group) -> Tensor:
        ctx.size, ctx.rows = group.size, rows.to(own.device)
        everything = own.new_zeros(count, *own.shape[1:])
        everything[ctx.rows] = own
        group._sum(everything)  # with zeros: exact, and shares may differ in size
        return everything

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.size * gradients[0][ctx.rows], None, None, None


def launched() -> bool:
    """Whether torchrun started this process, with others."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_device(device: str) -> str:
    """The GPU of this process among those of its machine. UsageError if it has none."""
    if not device.startswith("cuda"):
        return device
    number, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if device != "cuda":
        raise UsageError(f"each process that torchrun starts has its own GPU: cuda, not {device!r}")
    if number >= count:
        raise UsageError(f"torchrun started more processes than there are GPUs: {count}")
    return f"cuda:{number}"


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """The group of the processes that torchrun started; of this one alone without it."""
    if not launched():
        yield ALONE
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, timeout=WAIT)
    group = Group(dist.get_rank(), dist.get_world_size())
    if group.first:
        _outlive(group)
    try:
        yield group
        if group.first:
            group.call(None)
    finally:
        dist.destroy_process_group()


def _outlive(group: Group) -> None:
    """torchrun ends all processes if one dies: time for the first one to record why it stops."""

    def stop(number: int, frame: FrameType | None) -> None:
        if not group.lost:  # a second time would interrupt the writing of the record
            group.lost = True
            raise LostError("torchrun ended this run: another process died, or it was cancelled")

    signal.signal(signal.SIGTERM, stop)
