"""What a run would download: files of its backbones and teachers that are not on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rppbench.models.identity import resolve
from rppbench.models.weights.on_disk import absent, parameters
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell


def downloads(registry: Registry, cells: Iterable[Cell]) -> Iterator[str]:
    """A line for each backbone of these cells with files that are not on disk."""
    shipped = registry.all("backbones")
    for backbone in dict.fromkeys(name for cell in cells for name in _backbones(cell)):
        source = resolve(backbone, shipped)
        count = parameters(source)
        size = f" ({count:,} parameters)" if count else ""
        for files in absent(source):
            of = size if files.what == "weights" else ""
            yield f"not on disk: {files.what} of {backbone}{of}: {files.address}"


def _backbones(cell: Cell) -> Iterator[str]:
    yield cell.backbone
    for training in cell.trainings:
        if training.teacher is not None:
            yield training.teacher
