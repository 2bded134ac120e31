"""From a cell to its record: the job that every engine runs."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import torch

from rppbench import __version__
from rppbench.contracts.backbone import Backbone
from rppbench.contracts.engine import CellGroup, Event, Report
from rppbench.errors import DivergedError
from rppbench.execution.bench import CellBench, Resources
from rppbench.execution.peak_memory import peak_bytes, reset_peak
from rppbench.features.store import FeatureStore
from rppbench.files.cache_folder import cache_folder, cache_limit
from rppbench.models.clip import Clip, load
from rppbench.planning.plan import labels
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell
from rppbench.records.record import Failure, Record, Score, now
from rppbench.records.store import Store
from rppbench.training.distributed import ALONE, Group
from rppbench.training.failures import failure_of

SHOWN_NAMES = 5
"""Of class names with unknown words; a warning is no list."""

WATCHED_PACKAGES = ("torch", "open_clip_torch", "numpy", "pillow")


@dataclass
class Runner:
    """Runs the cells of a batch, one after the other, and writes a record for each."""

    output: Path
    device: str = "cpu"
    batch_size: int = 128
    num_workers: int = 0
    memory: int | None = None
    """Bytes that a worker may take (`--memory`); None does not bound it."""
    retrain: bool = False
    """Learn again even where prompts of the same training are stored (`--overwrite always`)."""
    stop_on_failure: bool = False
    compile: str | None = None
    """Backend of `torch.compile` for the towers; None runs them as they are."""
    group: Group = ALONE
    """The processes that share each training; this one leads them."""

    def __getstate__(self) -> dict[str, object]:
        """Only the settings travel to a worker; models and data are loaded there."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __call__(self, batch: CellGroup, report: Report) -> None:
        for cell in batch:
            record = self.run(cell, report)
            self.store.write(record)
            report(_finished(record))
            self.stop_on_failure |= self.group.lost  # no other training could go on
            if record.failure and self.stop_on_failure:
                return

    @cached_property
    def store(self) -> Store:
        return Store(self.output)

    @cached_property
    def resources(self) -> Resources:
        registry = Registry.load()
        return Resources(
            registry=registry,
            load=_loader(registry.all("backbones"), self.device, self.compile, self.memory),
            features=FeatureStore(cache_folder(), cache_limit()),
            prompts=self.store.training_path,
            batch_size=self.batch_size,
            workers=self.num_workers,
            group=self.group,
        )

    @cached_property
    def warned(self) -> set[tuple[str, str]]:
        """(data set, backbone) whose unknown words this process told of."""
        return set()

    def run(self, cell: Cell, report: Report) -> Record:
        """The record of one cell; whatever goes wrong is in it, except an interrupt."""
        report(Event(cell.key, "start"))
        record = self._blank(cell)

        def notify(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
            report(Event(cell.key, phase, done, total, metrics))

        try:
            reset_peak(self.device)
            registry = self.resources.registry
            task = registry.get("tasks", cell.task.name)
            record = replace(record, metric=task.metric)
            record = replace(record, labels=labels(registry, cell))
            bench = CellBench(cell, self.resources, notify, self.retrain)
            self._warn(cell, bench, report)
            scores = tuple(task(**dict(cell.task.options)).run(bench))
            if all(score.metric != task.metric for score in scores):
                record = replace(record, metric=scores[0].metric)
            _check_finite(scores, bench.log)
            record = replace(
                record,
                status="ok",
                scores=scores,
                cost=replace(
                    bench.cost,
                    eval_seconds=bench.eval_seconds,
                    peak_bytes=peak_bytes(self.device),
                ),
                training_log=bench.log,
                draw=bench.draw,
            )
        except Exception as error:  # noqa: BLE001  a failed cell is a record and stops no other
            record = replace(record, failure=failure_of(error))
        return replace(record, finished=now())

    def fail(self, cell: Cell, kind: str, message: str) -> None:
        """Record a failure that the cell could not record itself (its worker died).

        A good record stays: the worker may have died between writing it and saying so.
        """
        stored = self.store.read(cell)
        if stored is not None and stored.status == "ok":
            return
        record = replace(self._blank(cell), failure=Failure(kind, message), finished=now())
        with suppress(Exception):  # what cannot be labelled must not hide why the worker died
            registry = self.resources.registry
            record = replace(record, metric=registry.get("tasks", cell.task.name).metric)
            record = replace(record, labels=labels(registry, cell))
        self.store.write(record)

    def _blank(self, cell: Cell) -> Record:
        """A record that says as yet when and where the cell was run."""
        return Record(
            cell=cell,
            status="failed",
            metric="",
            environment=self._environment(),
            started=now(),
        )

    def _environment(self) -> dict[str, str]:
        """With how the towers were run, where it is not as usual: numbers may round differently."""
        found = environment(self.device)
        if self.group.size > 1:
            found["processes"] = str(self.group.size)
        if self.compile:
            found["compile"] = self.compile
        return found

    def _warn(self, cell: Cell, bench: CellBench, report: Report) -> None:
        """Say once which class names hold words that the text tower never saw."""
        subject = (cell.dataset, cell.backbone)
        if subject in self.warned:
            return
        self.warned.add(subject)
        names = bench.dataset.classes
        lost = bench.clip.unknown_words(names)
        if not lost:
            return
        shown = ", ".join(lost[:SHOWN_NAMES]) + (", ..." if len(lost) > SHOWN_NAMES else "")
        message = (
            f"{len(lost)} of {len(names)} class names of {cell.dataset} have words that backbone "
            f"{cell.backbone} never saw: {shown}"
        )
        report(Event(cell.key, "evaluate", message=message))


def environment(device: str) -> dict[str, str]:
    """What a reader needs to judge cost and to look for a difference; no names or paths."""
    on_gpu = device.startswith("cuda") and torch.cuda.is_available()
    where = torch.cuda.get_device_name(device) if on_gpu else platform.machine()
    return {
        **{name: version(name) for name in WATCHED_PACKAGES},
        "rppbench": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "device": f"{device} ({where})",
        "threads": str(torch.get_num_threads()),
        "cores": str(os.cpu_count()),
    }


def follow(runner: Runner) -> None:
    """Help with each training that the first process of the runner's group calls for.

    What goes wrong in it is told to the first process, whose record says so.
    """
    while (called := runner.group.heard()) is not None:
        cell, training = called
        with suppress(Exception), runner.group.together():
            CellBench(cell, runner.resources, _say_nothing, retrain=False).assist(training)


def _say_nothing(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
    return None


def _loader(
    shipped: Mapping[str, Backbone], device: str, backend: str | None, memory: int | None
) -> Callable[[str, str], Clip]:
    """Load each (backbone, precision) once and keep it."""
    loaded: dict[tuple[str, str], Clip] = {}

    def get(backbone: str, precision: str) -> Clip:
        key = (backbone, precision)
        if key not in loaded:
            loaded[key] = load(backbone, shipped, precision, device, memory)
            if backend:
                loaded[key].compile(backend)
        return loaded[key]

    return get


def _check_finite(scores: Sequence[Score], log: Sequence[Mapping[str, float]]) -> None:
    """Raise DivergedError for a number that is none: JSON has no word for it, nor has a table."""
    for score in scores:
        if not math.isfinite(score.value):
            raise DivergedError(f"the score {score.metric!r} became {score.value}")
    for epoch, entry in enumerate(log, 1):
        for name, value in entry.items():
            if not math.isfinite(value):
                raise DivergedError(f"{name!r} became {value} in epoch {epoch} of the training")


def _finished(record: Record) -> Event:
    if record.failure:
        return Event(record.key, "failed", message=record.failure.message)
    score = record.score()
    assert score is not None
    return Event(record.key, "done", metrics={score.metric: score.value})
