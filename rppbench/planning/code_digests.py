"""Whether a result was computed with today's code: versions for what is built in, digests for all
other components.

The version of a component is part of the key of a cell or training unless it is 1. A built-in
component goes by its version alone, which a test guards; for a component of another distribution
the record also holds a digest of its source (`plugins.source`).
"""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from rppbench.errors import UsageError
from rppbench.files.tensors import read_metadata
from rppbench.plugins.registry import Registry
from rppbench.plugins.source import own_modules, source_digest
from rppbench.records.cell import Cell, Training
from rppbench.records.record import Record

KINDS = {"methods": "method", "datasets": "dataset", "tasks": "task"}
"""Kinds of components whose source counts, and the start of their names in a record."""

_DIGESTS: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
"""Digests by module. A process runs the code that it imported, even if the file changes later."""


class CodeDigests:
    """Digests of the source of the components that cells and trainings use, by component.

    The names are 'method:x', 'dataset:x', 'task:x' and 'part of task:x'. Built-in components have
    none, nor have those whose source cannot be read.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._known: dict[tuple[str, str], str] = {}

    def of(self, cell: Cell) -> dict[str, str]:
        """Digests for a cell: its method, task and data sets, also those of its training."""
        return {
            **self._digests([("tasks", cell.task.name), ("methods", cell.method.name)]),
            **self._digests([("datasets", cell.dataset)]),
            **self._parts(cell),
            **(self.of_training(cell.training) if cell.training else {}),
        }

    def of_training(self, training: Training) -> dict[str, str]:
        """Digests for a training: its method and source, also those of the one it starts from."""
        start = self.of_training(training.start) if training.start else {}
        own = [("methods", training.method.name), ("datasets", training.source)]
        return {**start, **self._digests(own)}

    def of_dataset(self, name: str) -> str:
        """The digest of a data set; '' without one."""
        return self._digest("datasets", name)

    def of_task(self, cell: Cell) -> dict[str, str]:
        """Digests of a cell's task and its parts."""
        return {**self._digests([("tasks", cell.task.name)]), **self._parts(cell)}

    def read_all(self) -> None:
        """Read the source of all components now, before anyone edits a file."""
        for kind in KINDS:
            with suppress(UsageError):  # two components of one name: whoever needs it, reports it
                for name in self.registry.all(kind):
                    self._digest(kind, name)

    def _digests(self, components: Sequence[tuple[str, str]]) -> dict[str, str]:
        digests = {f"{KINDS[kind]}:{name}": self._digest(kind, name) for kind, name in components}
        return {name: digest for name, digest in digests.items() if digest}

    def _digest(self, kind: str, name: str) -> str:
        if (kind, name) not in self._known:
            component = None
            with suppress(UsageError):
                component = self.registry.find(kind, name)
            module = getattr(component, "__module__", "")
            self._known[kind, name] = module_digest(module, self.registry.distributions)
        return self._known[kind, name]

    def _parts(self, cell: Cell) -> dict[str, str]:
        """Digests of other components that the task of a cell uses."""
        task = None
        with suppress(Exception):  # its options may be invalid: running it reports that
            task = self.registry.get("tasks", cell.task.name)(**dict(cell.task.options))
        digests = [
            module_digest(part.__module__, self.registry.distributions)
            for part in (task.parts() if task else ())
        ]
        found = sorted(filter(None, digests))
        return {f"part of task:{cell.task.name}": " ".join(found)} if found else {}


class CodeCheck:
    """A check for `planning.staleness`: the components whose source has changed."""

    def __init__(self, digests: CodeDigests) -> None:
        self.digests = digests

    def of_record(self, record: Record) -> Sequence[str]:
        """A record that holds no digest of a component is unverified, not stale."""
        return _reasons(record.code, self.digests.of(record.cell)) if record.code else ()

    def of_prompts(self, training: Training, path: Path) -> Sequence[str]:
        now = self.digests.of_training(training)
        if not now:
            return ()
        stored = {}
        with suppress(ValueError):
            stored = json.loads(read_metadata(path).get("code", "{}"))
        return _reasons(stored, now)


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The components that have another digest now; one without a digest on a side is unverified."""
    return [name for name, digest in now.items() if before.get(name, digest) != digest]


def _reasons(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [f"code changed since: {in_words(name)}" for name in changed(before, now)]


def in_words(component: str) -> str:
    """'method:x' as "method 'x'"."""
    kind, _, name = component.partition(":")
    return f"{kind.replace('dataset', 'data set')} {name!r}"


def module_digest(name: str, distributions: Mapping[str, Distribution]) -> str:
    """Digest of a module and what it imports of its own distribution; '' for a built-in one.

    `distributions` holds those of plugins by the top-level module that is their entry point.
    """
    module = sys.modules.get(name)
    top = name.partition(".")[0]
    if module is None or top in _built_in():
        return ""
    if module not in _DIGESTS:
        names = {top, *_top_level(distributions.get(top))}
        try:
            _DIGESTS[module] = source_digest(name, own_modules(frozenset(names), _folder(module)))
        except (OSError, SyntaxError, ValueError, RecursionError):
            _DIGESTS[module] = ""
    return _DIGESTS[module]


@cache
def _built_in() -> frozenset[str]:
    """Top-level modules that come with rppbench."""
    try:
        entries = distribution("rppbench").entry_points.select(group="rppbench")
    except PackageNotFoundError:  # a source tree on the path
        return frozenset(["rppbench"])
    return frozenset(["rppbench", *(entry.module.partition(".")[0] for entry in entries)])


def _top_level(dist: Distribution | None) -> Iterator[str]:
    """The top-level modules of an installed distribution, as far as it lists its files."""
    for file in (dist.files or ()) if dist else ():
        if file.suffix == ".py":
            yield file.parts[0].removesuffix(".py")


def _folder(module: ModuleType) -> Path | None:
    """The folder that a module is imported from, unless installed packages share it."""
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    levels = module.__name__.count(".") + (Path(file).name == "__init__.py")
    folder = Path(file).parents[levels]
    return None if folder in _shared_folders() else folder


@cache
def _shared_folders() -> frozenset[Path]:
    return frozenset(Path(path) for path in sysconfig.get_paths().values())
