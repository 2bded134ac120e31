"""Versions of components and the core as inputs of keys; all but tasks' are left out while 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rppbench.records.cell import CORE_VERSION, Pairs


def core_version() -> Pairs:
    """The version of towers, training and evaluation; () for the first."""
    return _pair("core", CORE_VERSION)


def version_of(kind: str, component: Any) -> Pairs:
    """The version of a method ('method') or a data set ('version'); () for the first."""
    return _pair(f"{kind}:{component.name}", component.version)


def task_version(task: Any) -> Pairs:
    """The version of a task, also the first: it is part of every key."""
    return ((f"task:{task.name}", f"version {task.version}"),)


def part_version(part: type | Callable[..., object]) -> Pairs:
    """The version of a part of a task (`Task.parts`), if it has one; () for the first."""
    return _pair(f"part:{part.__qualname__}", getattr(part, "version", 1))


def _pair(name: str, version: int) -> Pairs:
    return () if version == 1 else ((name, f"version {version}"),)
