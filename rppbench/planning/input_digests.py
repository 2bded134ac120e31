"""Digests of the inputs of cells (data sets, weights, files), each computed once for a plan.

They are part of a cell's key, as `Cell.inputs` (`records.cell`).
"""

from __future__ import annotations

from rppbench.contracts.dataset import Dataset
from rppbench.contracts.task import Task
from rppbench.errors import MissingDataError
from rppbench.plugins.registry import Registry

MISSING = "missing"
"""Takes the place of the digest of data that does not exist."""


class InputDigests:
    """Digests of data and weights, each computed once."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.known: dict[str, str] = {}

    def of(self, dataset: str, backbone: str, teacher: str | None) -> tuple[tuple[str, str], ...]:
        """(kind:name, digest) pairs of a data set, a backbone and a teacher."""
        pairs = [
            (f"dataset:{dataset}", self._data(dataset)),
            (f"backbone:{backbone}", self._weights(backbone)),
        ]
        if teacher is not None:
            pairs.append((f"teacher:{teacher}", self._weights(teacher)))
        return tuple(sorted(pairs))

    def of_files(self, task: Task) -> tuple[tuple[str, str], ...]:
        """(name, digest) pairs of the files that a task's options name."""
        try:
            return tuple(task.inputs())
        except MissingDataError:  # as for data: the cell will record why
            return ((f"files of {task.name}", MISSING),)

    def _data(self, name: str) -> str:
        if name not in self.known:
            component: type[Dataset] = self.registry.get("datasets", name)
            try:
                self.known[name] = component().fingerprint()
            except MissingDataError:  # the cell will record why; the others still run
                self.known[name] = MISSING
        return self.known[name]

    def _weights(self, name: str) -> str:
        from rppbench.models.identity import identify  # `models.clip` would load open_clip

        if name not in self.known:
            self.known[name] = identify(name, self.registry.all("backbones"))
        return self.known[name]
