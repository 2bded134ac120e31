"""Cells that score the trainings of other cells on validation images, for choosing settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rppbench.contracts.task import Task
from rppbench.data.draws import FULL, HELD_OUT_SHOT
from rppbench.errors import UsageError
from rppbench.planning.input_digests import InputDigests
from rppbench.planning.recipes import refuse_single_shot
from rppbench.planning.settings import TARGETS
from rppbench.plugins.options import resolve
from rppbench.plugins.registry import Registry
from rppbench.plugins.versions import task_version
from rppbench.records.cell import Cell, Choice, Option, Training

TASK = "validation"
"""The task that scores validation images; its options are `suite`, `shots`, `classes`, `images`."""


def on_validation(
    registry: Registry, input_digests: InputDigests, images: str, planned: Sequence[Cell]
) -> list[Cell]:
    """For each training of the planned cells a cell that scores it on validation images.

    The images are those of the data set that is learned on, and candidates the learned classes:
    nothing of the data that the planned cells score is used, but for 'targets', their complete
    validation splits. UsageError for cells without training.
    """
    component: type[Task] = registry.get("tasks", TASK)
    cells = []
    for cell in planned:
        training = cell.training
        if training is None:
            raise UsageError(
                f"{cell.method.name!r} learns nothing, so no validation images belong to it"
            )
        if images == HELD_OUT_SHOT:
            training = _holding_out(training)
        dataset = cell.dataset if images == TARGETS else training.source
        own: dict[str, Option] = {
            "images": FULL if images == TARGETS else images,
            "classes": training.classes if dataset == training.source else "all",
            "shots": training.shots,
        }
        suite = {name: value for name, value in cell.task.options if name == "suite"}
        inputs = input_digests.of(dataset, cell.backbone, None)
        task = resolve(component, {**own, **suite})
        cells.append(
            replace(
                cell,
                task=task,
                dataset=dataset,
                training=training,
                inputs=(*inputs, *task_version(component)),
            )
        )
    return cells


def _holding_out(training: Training) -> Training:
    """The training without the last shot of each class."""
    refuse_single_shot(training.shots)
    values = {**dict(training.recipe.options), "validation": HELD_OUT_SHOT}
    recipe = Choice(training.recipe.name, tuple(sorted(values.items())))
    return replace(training, recipe=recipe)
