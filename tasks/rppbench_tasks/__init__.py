"""Built-in tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rppbench import hookimpl

if TYPE_CHECKING:
    from rppbench.contracts import Dataset, Task


@hookimpl
def rppbench_tasks() -> list[type[Task]]:
    """The built-in tasks, in the order of `rppbench list tasks`."""
    from rppbench_tasks.base_to_new import BaseToNew
    from rppbench_tasks.cross_dataset import CrossDataset
    from rppbench_tasks.cross_domain import CrossDomain
    from rppbench_tasks.detection import Detection
    from rppbench_tasks.few_shot import FewShot
    from rppbench_tasks.fine_tune import FineTune
    from rppbench_tasks.pretraining import Pretraining
    from rppbench_tasks.segmentation import Segmentation
    from rppbench_tasks.validation import Validation

    learned: list[type[Task]] = [
        Pretraining,
        CrossDataset,
        CrossDomain,
        FewShot,
        BaseToNew,
        FineTune,
        Validation,
    ]
    return [*learned, Segmentation, Detection]


@hookimpl
def rppbench_derive_dataset(kind: str, base: type[Dataset]) -> type[Dataset] | None:
    """The true regions of a data set: 'masks:NAME', 'stretched-masks:NAME', 'boxes:NAME'."""
    from rppbench_tasks.proposing.true_regions import regions_of

    return regions_of(kind, base)
