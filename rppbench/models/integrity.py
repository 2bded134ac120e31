"""Whether a frozen model is still as it was loaded: its weights, its modules and their hooks.

Plugins can reach the model that all cells of a run share: by a bound method that they are given, or
by the garbage collector. A change would make every later number wrong. It is found by comparison,
not prevented: checksums of all weights and buffers, and the identity of everything that decides
what a forward pass computes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rppbench.models.clip import Clip

CHUNK = 2**20
"""Numbers (of 4 bytes) that are multiplied at once; they fit in the cache of a core."""

HOOKS = (
    *("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks"),
    *("_forward_hooks_always_called", "_forward_hooks_with_kwargs"),
    "_forward_pre_hooks_with_kwargs",
)
"""Attributes of a module that hold its hooks."""
GLOBAL_HOOKS = ("_global_forward_pre_hooks", "_global_forward_hooks")
"""Tables of torch that hold the hooks of all modules."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Snapshot:
    """A model at one moment. It keeps the objects that it compares, so that no id is used again."""

    sums: Mapping[str, int]
    """Checksum of each parameter and buffer."""
    parts: Mapping[str, Any]
    """Everything else by its place: modules, tensors, hooks, flags, functions."""
    functions: Mapping[tuple[type, str], Any]
    """Functions of the classes of modules and towers, which all models of a process share."""
    hooks: Mapping[str, Mapping[int, Any]]
    """Hooks of all modules of the process, by the name of their table."""

    def changes(self, clip: Clip) -> list[str]:
        """What is different now, in words; [] if nothing is."""
        now = snapshot(clip)
        classes = _places(self.functions, now.functions)
        return [
            *_places(self.parts, now.parts),
            *(f"the function {kind.__qualname__}.{name}" for kind, name in classes),
            *(
                f"{table} of torch"
                for table in GLOBAL_HOOKS
                if self.hooks[table] != now.hooks[table]
            ),
            *(f"the values of {name}" for name in _places(self.sums, now.sums)),
        ]

    def undo_in_classes(self) -> None:
        """Put back the functions and hooks that loading the model again would not restore."""
        for (kind, name), function in self.functions.items():
            if getattr(kind, name) is not function:
                setattr(kind, name, function)
        for table, hooks in self.hooks.items():
            current = getattr(nn.modules.module, table)
            current.clear()
            current.update(hooks)


_ABSENT = object()


def snapshot(clip: Clip) -> Snapshot:
    """The model as it is now."""
    kinds = {type(module) for module in clip.model.modules()}
    functions = {(kind, "forward"): kind.forward for kind in kinds}
    for kind in (type(clip), type(clip.text), type(clip.image)):
        functions |= {(kind, name): f for name, f in vars(kind).items() if callable(f)}
    hooks = {table: dict(getattr(nn.modules.module, table)) for table in GLOBAL_HOOKS}
    return Snapshot(checksums(clip.model), dict(_parts(clip)), functions, hooks)


def _places(before: Mapping[K, Any], now: Mapping[K, Any]) -> list[K]:
    """The keys whose values are not the same."""
    return [
        key
        for key in dict.fromkeys((*before, *now))
        if not _same(before.get(key, _ABSENT), now.get(key, _ABSENT))
    ]


def _same(one: Any, two: Any) -> bool:
    """Whether two plain values are equal, or two objects the same one."""
    plain = bool | int | float | str
    return one == two if isinstance(one, plain) and isinstance(two, plain) else one is two


@torch.no_grad()
def checksums(model: nn.Module) -> dict[str, int]:
    """A checksum of the bytes of each parameter and buffer, by name.

    Any change of one number changes it. One pass over the weights on their own device: 0.14 s for
    the 600 MB of a ViT-B/16 on a core.
    """
    tensors = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    sums = [_checksum(tensor) for tensor in tensors.values()]
    # Stacked, a GPU is waited for once.
    return dict(zip(tensors, torch.stack(sums).tolist() if sums else [], strict=True))


def _checksum(tensor: Tensor) -> Tensor:
    """() int64 on the tensor's device."""
    flat = tensor.contiguous().reshape(-1).view(torch.uint8)
    if len(flat) % 4 or flat.storage_offset() % 4:
        flat = torch.cat([flat, flat.new_zeros(-len(flat) % 4)])
    factors, numbers = _factors(flat.device), flat.view(torch.int32)
    total = flat.new_zeros((), dtype=torch.int64)
    for chunk in numbers.split(CHUNK):
        # Products and sums wrap around; an odd factor makes every change of a number visible.
        total = total * 1_000_003 + (chunk * factors[: len(chunk)]).sum(dtype=torch.int64)
    return total


@cache
def _factors(device: torch.device) -> Tensor:
    """(CHUNK,) odd int32 numbers, different for each position."""
    values = torch.arange(CHUNK, dtype=torch.int64) * 2_654_435_761 % 2**31
    return (values | 1).to(torch.int32).to(device)


def _parts(clip: Clip) -> Iterator[tuple[str, Any]]:
    """What decides the forward pass besides the values of the weights, by place."""
    for name, module in clip.model.named_modules(remove_duplicate=False):
        where = name or "the model"
        yield f"the module {where}", module
        yield f"the class of {where}", type(module)
        yield f"the mode (training or evaluation) of {where}", module.training
        for attribute in HOOKS:
            for number, hook in enumerate(getattr(module, attribute).values(), 1):
                yield f"hook {number} in {attribute} of {where}", hook
        yield from _functions(where, module)
        for key, value in vars(module).items():
            if isinstance(value, bool | int | float | str) and key != "training":
                yield f"the attribute {key!r} of {where}", value
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for key, tensor in tensors:
            place = f"{name}.{key}" if name else key
            yield f"the tensor {place}", tensor
            yield f"'requires_grad' of {place}", tensor.requires_grad
    for where, tower in (("the text tower", clip.text), ("the image tower", clip.image)):
        yield where, tower
        yield from _functions(where, tower)


def _functions(where: str, owner: object) -> Iterator[tuple[str, Any]]:
    """Functions that an object holds itself: they take the place of those of its class."""
    for key, value in vars(owner).items():
        if callable(value) and not isinstance(value, nn.Module | nn.Parameter | Tensor):
            yield f"the function {key!r} of {where}", value
