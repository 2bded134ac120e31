"""Digests of the inputs of cells (data sets, weights, files, draws), each computed once for a plan.

They are part of a cell's key, as `Cell.inputs` (`records.cell`).
"""

from __future__ import annotations

from pathlib import Path

from rppbench.contracts.dataset import Dataset
from rppbench.contracts.task import Task
from rppbench.data.check import remarks
from rppbench.data.draw_files import check_shots, keep, read_draw
from rppbench.errors import ContractError, MissingDataError, UsageError
from rppbench.plugins.containment import contained, line_of, uncontained
from rppbench.plugins.registry import Registry
from rppbench.plugins.versions import core_version, version_of
from rppbench.records.cell import DRAW, SPLIT, Pairs

MISSING = "missing"
"""Takes the place of the digest of data that does not exist."""
BROKEN = "broken"
"""Takes the place of the digest of data whose class fails to give one."""


def fingerprint(data: Dataset) -> str:
    """The fingerprint of a data set. ContractError if it is not a text, or not twice the same."""
    text = data.fingerprint()
    if type(text) is not str or not text or text in (MISSING, BROKEN):
        raise ContractError(f"data set {data.name!r}: {text!r:.60} is not a fingerprint")
    if data.fingerprint() != text:
        raise ContractError(f"data set {data.name!r} has another fingerprint at every call")
    return text


class InputDigests:
    """Digests of data, weights and draws, each computed once."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.known: dict[str, str] = {}
        self.datasets: dict[str, Dataset] = {}
        """Opened data sets by name."""
        self.unreadable: dict[str, str] = {}
        """Why an input has no digest, by its name ('dataset:dtd') in the pairs."""
        self._remarks: dict[str, None] = {}

    def of(self, dataset: str, backbone: str, teacher: str | None) -> Pairs:
        """(kind:name, digest) pairs of a data set, a backbone and a teacher.

        Also the versions of the data set and of the core, where they are not 1.
        """
        pairs = [
            (f"dataset:{dataset}", self._data(dataset)),
            (f"backbone:{backbone}", self._weights(backbone)),
        ]
        if teacher is not None:
            pairs.append((f"teacher:{teacher}", self._weights(teacher)))
        component: type[Dataset] = self.registry.get("datasets", dataset)
        pairs += [*version_of("version", component), *core_version()]
        if (opened := self.datasets.get(dataset)) and opened.split_rule:
            pairs.append((f"{SPLIT}{dataset}", opened.split_rule))
        return tuple(sorted(pairs))

    def of_files(self, task: Task) -> Pairs:
        """(name, digest) pairs of the files that a task's options name."""
        try:
            return tuple(task.inputs())
        except MissingDataError as error:  # as for data: the cell will record why
            name = f"files of {task.name}"
            self.unreadable[name] = str(error)
            return ((name, MISSING),)

    def of_draw(self, path: Path, dataset: str, shots: int) -> Pairs:
        """(name, digest) of the draw in a file, which is kept for the run (`data.draw_files`).

        UsageError if it is not a draw of so many shots of the data set.
        """
        key = f"draw of {shots} shots of {dataset} in {path}"
        if key not in self.known:
            try:
                data = self.dataset(dataset)
            except MissingDataError as error:  # as for data: the cell will record why
                self.unreadable[f"{DRAW}{dataset}"] = str(error)
                return ((f"{DRAW}{dataset}", MISSING),)
            draw = read_draw(path, data)
            check_shots(draw, data, path, shots)
            self.known[key] = keep(draw)
        return ((f"{DRAW}{dataset}", self.known[key]),)

    def dataset(self, name: str) -> Dataset:
        """The named data set, opened once. MissingDataError if its files are missing."""
        if name not in self.datasets:
            self.datasets[name] = self.registry.get("datasets", name)()
        return self.datasets[name]

    def take_remarks(self) -> list[str]:
        """The remarks on the data that was opened since the last call."""
        taken, self._remarks = list(self._remarks), {}
        return taken

    def _data(self, name: str) -> str:
        if name not in self.known:
            try:
                with contained():
                    data = self.dataset(name)
                    self.known[name] = fingerprint(data)
                    self._remarks |= dict.fromkeys(remarks(data))
            except MissingDataError as error:  # the cell will record why; the others still run
                self.known[name] = MISSING
                self.unreadable[f"dataset:{name}"] = str(error)
            except UsageError:
                raise
            except Exception as error:
                if uncontained():
                    raise
                self.known[name] = BROKEN  # as above
                self.unreadable[f"dataset:{name}"] = f"{name}: {line_of(error)}"
        return self.known[name]

    def _weights(self, name: str) -> str:
        from rppbench.models.identity import identify  # `models.clip` would load open_clip

        if name not in self.known:
            self.known[name] = identify(name, self.registry.all("backbones"))
        return self.known[name]
