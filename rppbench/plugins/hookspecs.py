"""The hooks that a plugin may implement. Each returns what the plugin adds and is called once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pluggy import HookspecMarker

if TYPE_CHECKING:
    from rppbench.contracts.backbone import Backbone
    from rppbench.contracts.dataset import Dataset
    from rppbench.contracts.engine import Engine
    from rppbench.contracts.method import Method
    from rppbench.contracts.task import Task
    from rppbench.contracts.towers import ImageKind, TextKind

hookspec = HookspecMarker("rppbench")


@hookspec
def rppbench_methods() -> list[type[Method]]:
    """Methods: how prompts are learned."""
    raise NotImplementedError


@hookspec
def rppbench_datasets() -> list[type[Dataset]]:
    """Data sets: images with class names."""
    raise NotImplementedError


@hookspec
def rppbench_resolve_dataset(name: str) -> type[Dataset] | None:
    """The data set of an unregistered name such as 'folder:/path', or None; opens no data.

    Its `name` is the canonical spelling. The same name gives the same class. UsageError for a name
    that is almost valid.
    """
    raise NotImplementedError


@hookspec
def rppbench_derive_dataset(kind: str, base: type[Dataset]) -> type[Dataset] | None:
    """The data set 'KIND:NAME' that is made from the data set `base` of that name, or None.

    It is asked for names that no plugin resolves. Its `name` is 'KIND:' and the name of `base`. The
    same arguments give the same class.
    """
    raise NotImplementedError


@hookspec
def rppbench_tasks() -> list[type[Task]]:
    """Tasks: what methods learn on and are scored on."""
    raise NotImplementedError


@hookspec
def rppbench_engines() -> list[type[Engine]]:
    """Engines: where cells run."""
    raise NotImplementedError


@hookspec
def rppbench_towers() -> list[type[ImageKind] | type[TextKind]]:
    """Kinds of towers that prompts can enter, for models that the program does not know.

    They are asked before the program's own kinds.
    """
    raise NotImplementedError


@hookspec
def rppbench_backbones() -> list[Backbone]:
    """Backbones whose weights come with the plugin."""
    raise NotImplementedError
