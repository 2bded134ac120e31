"""From the settings of a run, plan, grid or search to the registry and the planner's requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.data.root import use_data, use_partial
from rppbench.errors import UsageError
from rppbench.planning.backbone_names import place
from rppbench.planning.settings import Settings
from rppbench.terminal.console import note

if TYPE_CHECKING:  # both need torch
    from rppbench.planning.request import Request
    from rppbench.plugins.registry import Registry

QUICK_IMAGES = 100
"""Test images of each data set with `--quick`, unless `--limit` names another number."""


def loaded(chosen: Settings) -> Registry:
    """The registry of all plugins. UsageError, which lists the methods, if no method is named."""
    from rppbench.plugins.registry import Registry

    if chosen.data is not None:
        use_data(Path(chosen.data).expanduser())
    use_partial(chosen.partial)
    registry = Registry.load()
    if not chosen.method:
        names = ", ".join(registry.all("methods")) or "(none)"
        notes = registry.complaints()
        raise UsageError(
            "\n".join(["name one or more methods: --method NAME", f"methods: {names}", *notes])
        )
    return registry


@contextmanager
def plugins_named(registry: Registry) -> Iterator[None]:
    """Add the plugins that failed to load to a UsageError: the missing component may be theirs."""
    try:
        yield
    except UsageError as error:
        notes = [line for line in registry.complaints() if line not in str(error)]
        if not notes:
            raise
        raise UsageError("\n".join([str(error), *notes])) from error


def check_device(registry: Registry, chosen: Settings) -> None:
    """UsageError for a device or precision that no cell can run with: now, not in every cell.

    Of the devices of other machines only the name is checked.
    """
    from rppbench.execution.devices import check_precision, torch_device

    here = registry.get("engines", chosen.engine.partition(":")[0]).local
    check_precision(chosen.precision, torch_device(chosen.device, here), here)


def requests(registry: Registry, chosen: Settings) -> list[Request]:
    """The requests to the planner, one for each backbone, which cells know by one spelling."""
    from rppbench.commands.dataset_names import datasets
    from rppbench.models.identity import resolve
    from rppbench.planning.request import Request

    check_device(registry, chosen)
    shipped = registry.all("backbones")
    backbones = []
    for name in chosen.backbones:
        try:
            backbones.append(resolve(name, shipped).name)
        except UsageError as error:
            raise UsageError(f"{place(name, chosen.model, chosen.pretrained)}{error}") from error
    teacher = resolve(chosen.teacher, shipped).name if chosen.teacher else None
    named = datasets(chosen.dataset, registry, note)
    return [
        Request(
            methods=chosen.method,
            tasks=chosen.task,
            datasets=named,
            backbone=backbone,
            teacher=teacher,
            seeds=chosen.seed,
            shots=chosen.shots,
            precision=chosen.precision,
            limit=chosen.limit or (QUICK_IMAGES if chosen.quick else None),
            recipe=chosen.recipe,
            draw=chosen.draw or "",
            partial=chosen.partial,
            quick=chosen.quick,
            settings=tuple(chosen.set.items()),
        )
        for backbone in dict.fromkeys(backbones or ("",))
    ]
