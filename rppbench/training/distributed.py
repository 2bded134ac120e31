"""Data parallel: processes that torchrun starts share every step of a training.

The first process runs the command: it plans, scores and writes. The others wait for a training and
help with it. In a step each process encodes its share of the images and of the candidate classes;
the features are gathered, and each computes the loss of the entire batch. So anything that depends
on several images (batch norm, sampled classes, a loss of the method's own) sees the same batch as
in one process, and the prompts are the same up to rounding.

One group serves CPU tensors through gloo and GPU tensors through NCCL; mmengine's `dist` cannot
combine them.
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
from rppbench.plugins.containment import contained
from rppbench.records.record import Failure
from rppbench.training.failures import PeerError, failure_of

WAIT = timedelta(days=1)
"""Longest wait: the others wait while the first scores. A process that dies is noticed at once."""

TOGETHER = 16
"""Batches that each process encodes before the first one stores the features of all."""

T = TypeVar("T")


@dataclass(eq=False)
class Group:
    """The processes that share a training, as one of them sees it."""

    rank: int = 0
    size: int = 1
    lost: bool = False
    """Whether another process is gone, so that no more work can be shared."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that runs the command."""
        return self.rank == 0

    def share(self, count: int, what: str) -> Tensor:
        """Positions of this process's share of `count` things. UsageError if `count` < `size`."""
        if count < self.size:
            raise UsageError(
                f"a step with {count} {what} cannot be shared by {self.size} processes; start at "
                f"most {count}"
            )
        return torch.arange(self.rank, count, self.size)

    def batches(self, count: int, size: int) -> Tensor:
        """Positions of this process's share of `count` things, in batches of `size`.

        The batches are those of a single process: in another batch a row of a matrix product may be
        rounded differently, and stored features must not change.
        """
        return torch.cat([*torch.arange(count).split(size)[self.rank :: self.size], _NO_ROWS])

    def gather(self, own: Tensor, rows: Tensor, count: int) -> Tensor:
        """(count, ...) rows of all processes; `own` are this process's, at positions `rows`.

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
        """(n, e) features from the first process's store, in all processes.

        `get(compute)` reads the store and calls `compute` for what it lacks. All processes share
        that work, `encode(picks, done, total)`, in batches of `size`; `done` of the `total` images
        come before the picks. Only the first process reads a store, since machines need not share
        a folder.
        """
        if self.size == 1:
            return get(lambda picks: encode(picks, 0, len(picks)))

        def encode_together(picks: Sequence[int], done: int, total: int) -> Tensor:
            rows = self.batches(len(picks), size)
            own = torch.cat(list(encode([picks[row] for row in rows.tolist()], done, total)))
            return self.gather(own, rows, len(picks))

        if not self.first:
            while (part := self.same(_PLACEHOLDER)) is not None:
                encode_together(*part)
            count, width = self.same((0, 0))
            return self.gather(torch.zeros(0, width), _NO_ROWS, count)

        def compute(picks: Sequence[int]) -> Iterator[Tensor]:
            most = TOGETHER * self.size * size
            for start in range(0, len(picks), most):
                part = list(picks[start : start + most]), start, len(picks)
                yield encode_together(*self.same(part))

        features = get(compute)
        self.same(None)
        count, width = self.same(tuple(features.shape))
        return self.gather(features, torch.arange(count), count)

    def average(self, parameters: Sequence[Tensor]) -> None:
        """Replace each gradient by the mean over all processes.

        Each process computes the entire loss, so the mean is right for parameters that the loss
        uses directly. The gradient through a feature arises only in the process that encoded it;
        `gather` has multiplied it by the number of processes. A parameter that has no gradient in
        any process gets none.
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
        """The first process's value, in all processes."""
        if self.size == 1:
            return value
        self._check()
        return self._broadcast(value)

    def send(self, work: Any) -> None:
        """Send the other processes their next work; None ends them."""
        if self.size > 1 and not self.lost:
            self._broadcast(work)

    def receive(self) -> Any:
        """The work that the first process sends."""
        return self._broadcast(None)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Work of all processes. One that fails raises its own error, the others PeerError."""
        if self.size == 1:
            yield
            return
        try:
            with contained():
                yield
            self._check()
        except (PeerError, LostError):
            raise  # reported already
        except Exception as error:
            self._report(failure_of(error))
            raise

    def _check(self) -> None:
        """PeerError if another process has failed since the last report."""
        self._report(None)

    def _report(self, failure: Failure | None) -> None:
        """Exchange failures with the other processes; PeerError if one of them failed."""
        failed = torch.tensor([0 if failure is None else 1])
        self._communicate(lambda: dist.all_reduce(failed))
        if not failed.item():
            return
        failures: list[Any] = [None] * self.size
        self._communicate(lambda: dist.all_gather_object(failures, failure))
        if failure is None:
            rank, theirs = next((r, f) for r, f in enumerate(failures) if f is not None)
            raise PeerError(rank, theirs)

    def _sum(self, values: Tensor) -> None:
        self._check()
        self._communicate(lambda: dist.all_reduce(values))

    def _broadcast(self, value: T) -> T:
        box: list[Any] = [value]
        self._communicate(
            lambda: dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        )
        return box[0]

    def _communicate(self, action: Callable[[], object]) -> None:
        """Run a collective operation. LostError if the other processes cannot be reached."""
        try:
            action()
        except RuntimeError as error:
            self.lost = True
            raise LostError(f"another process of this training is gone ({error})") from error


ALONE = Group()
_NO_ROWS = torch.zeros(0, dtype=torch.int64)
_PLACEHOLDER: Any = None


class _Gather(torch.autograd.Function):
    """Rows of all processes; backward, the gradient of the own rows times `group.size`."""

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
    """Whether torchrun started this process among several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_device(device: str) -> str:
    """The GPU of this process among those of its machine. UsageError if it has none."""
    if not device.startswith("cuda"):
        return device
    number, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if device != "cuda":
        raise UsageError(
            f"each process that torchrun starts has its own GPU: use cuda, not {device!r}"
        )
    if number >= count:
        raise UsageError(f"torchrun started more processes than there are GPUs: {count}")
    return f"cuda:{number}"


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """The group of the processes that torchrun started; without torchrun, this process alone."""
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
            group.send(None)
    finally:
        dist.destroy_process_group()


def _outlive(group: Group) -> None:
    """Let the first process record why it stops if torchrun ends all processes after one died."""

    def stop(number: int, frame: FrameType | None) -> None:
        if not group.lost:  # a second error would interrupt the writing of the record
            group.lost = True
            raise LostError("torchrun ended this run: another process died, or it was cancelled")

    signal.signal(signal.SIGTERM, stop)
