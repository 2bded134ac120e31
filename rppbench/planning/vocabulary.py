"""Which data sets a plan sees (those of suites, others that are named), and what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rppbench.contracts.dataset import Catalog, Dataset
from rppbench.contracts.method import Method
from rppbench.contracts.regions import DenseDataset
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


def texts_of_regions(
    registry: Registry, method: type[Method], names: Sequence[str]
) -> Iterator[str]:
    """A line for each of these data sets of which a method encodes texts for every region anew."""
    for name in names:
        component: type[Dataset] = registry.get("datasets", name)
        if method.conditional and issubclass(component, DenseDataset):
            count = component.size or len(component.vocabulary())
            texts = f"all {count} class names" if count else "all class names"
            yield (
                f"{method.name} encodes {texts} of {name} anew for every region of an image"
                + (f" ({10 * count:,} texts for ten regions)" if count else "")
                + "; other methods encode them once"
            )


def with_suites(registry: Registry, names: Sequence[str]) -> dict[str, list[str]]:
    """The data sets by the suite that naming them implies.

    It is their own if it has a source to learn on, or if they have label maps or boxes, which
    tasks look for in that suite alone; '' leaves the suite to the task.
    """
    by_suite: dict[str, list[str]] = {}
    for name in names:
        component: type[Dataset] = registry.get("datasets", name)
        suite = component.suite
        own = suite and (registry.sources(suite) or issubclass(component, DenseDataset))
        implied = suite if own else ""
        by_suite.setdefault(implied, []).append(name)
    return by_suite


class Extended:
    """A catalog that adds the given transfer sets to every suite."""

    def __init__(self, catalog: Catalog, added: Sequence[str]) -> None:
        self.catalog, self.added = catalog, added

    def names(self, suite: str, role: str) -> Sequence[str]:
        added = self.added if role in ("transfer", "few-shot") else ()
        return [*self.catalog.names(suite, role), *added]

    def source(self, suite: str, large: bool) -> str:
        return self.catalog.source(suite, large)
