"""Which cells a method with a closed vocabulary can run."""

from __future__ import annotations

from rppbench.contracts.dataset import Dataset
from rppbench.contracts.task import Assignment
from rppbench.data.splits import training_classes
from rppbench.errors import MissingDataError, UsageError
from rppbench.plugins.containment import uncontained
from rppbench.plugins.registry import Registry


def learns_all_scored_classes(registry: Registry, assignment: Assignment) -> bool:
    """Whether a method that knows only the classes it learned can run this assignment.

    False if it starts from prompts that were pretrained on other classes; True if data is missing
    or its class fails: the cell will record why.
    """
    if assignment.start:
        return False
    datasets: dict[str, Dataset] = {}
    for name in (assignment.source, assignment.dataset):
        component: type[Dataset] = registry.get("datasets", name)
        try:
            datasets[name] = component()
            names = datasets[name].classes
        except MissingDataError:
            return True
        except Exception as error:
            if isinstance(error, UsageError) or uncontained():
                raise
            return True
    source = datasets[assignment.source]
    learned = training_classes(source, assignment.classes)
    return {source.classes[label] for label in learned} >= set(names)
