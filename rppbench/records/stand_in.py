"""The embedded world stands in for real data: what its numbers do not say, for pages and runs.

Pages are made from records alone, without plugins, so the names are kept here.
"""

from __future__ import annotations

from collections.abc import Iterable

from rppbench.records.cell import Cell

BACKBONES = ("demo", "demo-2-teacher")
"""Backbones that were trained on drawings alone."""
DATASETS = "demo-"
"""Start of the names of data sets that are drawn."""
HEADING = "Stand-in:"
SHORT = "drawings and small models, for exercise: the numbers say nothing about photographs."
"""The warning where the complete one is a link away."""
WARNING = (
    "the embedded world is made of drawings, and its models saw nothing else. Numbers from it say "
    "nothing about photographs: choose a method for your images on your images, with a backbone "
    "that knows photographs (--model ViT-B-16/openai)."
)


def is_stand_in(backbone: str, datasets: Iterable[str] = ()) -> bool:
    """Whether a number with this backbone and these data sets comes from the embedded world."""
    return backbone in BACKBONES or any(name.startswith(DATASETS) for name in datasets)


def of_cell(cell: Cell) -> bool:
    """Whether anything that a cell learns from or scores belongs to the embedded world."""
    sources = (training.source for training in cell.trainings)
    return is_stand_in(cell.backbone, (cell.dataset, *sources))
