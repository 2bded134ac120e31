"""The questions a plugin may answer. Each returns what it adds; `rppbench` asks once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pluggy import HookspecMarker

if TYPE_CHECKING:
    from rppbench.contracts.backbone import Backbone
    from rppbench.contracts.dataset import Dataset
    from rppbench.contracts.engine import Engine
    from rppbench.contracts.method import Method
    from rppbench.contracts.task import Task

hookspec = HookspecMarker("rppbench")


@hookspec
def rppbench_methods() -> list[type[Method]]:
    """Ways to learn prompts."""
    raise NotImplementedError


@hookspec
def rppbench_datasets() -> list[type[Dataset]]:
    """Images with class names."""
    raise NotImplementedError


@hookspec
def rppbench_resolve_dataset(name: str) -> type[Dataset] | None:
    """The data set that an unregistered name stands for ('folder:/path'), or None; opens no data.

    Its `name` is the one spelling of all that mean the same. UsageError for a name that is
    nearly one. The same name gives the same class.
    """
    raise NotImplementedError


@hookspec
def rppbench_tasks() -> list[type[Task]]:
    """What is asked of a method."""
    raise NotImplementedError


@hookspec
def rppbench_engines() -> list[type[Engine]]:
    """Where cells run."""
    raise NotImplementedError


@hookspec
def rppbench_backbones() -> list[Backbone]:
    """Models whose weights come with the plugin."""
    raise NotImplementedError
