"""The job that every engine runs: from a cell to its record."""

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
from rppbench.execution.bench import CellBench
from rppbench.execution.peak_memory import peak_bytes, reset_peak
from rppbench.execution.resources import Resources
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

LISTED_NAMES = 5
"""Maximum number of class names in the warning about unknown words."""

WATCHED_PACKAGES = ("torch", "open_clip_torch", "numpy", "pillow")


@dataclass
class Runner:
    """Runs the cells of a batch one after the other and writes a record for each."""

    output: Path
    device: str = "cpu"
    batch_size: int = 128
    num_workers: int = 0
    memory: int | None = None
    """Bytes that a worker may use (`--memory`); None sets no limit."""
    retrain: bool = False
    """Whether to repeat trainings whose prompts are stored (`--overwrite always`)."""
    stop_on_failure: bool = False
    compile: str | None = None
    """Backend of `torch.compile` for the towers; None does not compile them."""
    group: Group = ALONE
    """The processes that share each training; this one leads."""

    def __getstate__(self) -> dict[str, object]:
        """Only the settings are sent to a worker; models and data are loaded there."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __call__(self, batch: CellGroup, report: Report) -> None:
        for cell in batch:
            record = self.run(cell, report)
            self.store.write(record)
            report(_finished(record))
            self.stop_on_failure |= self.group.lost  # a lost group can run no training
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
        """Each (data set, backbone) whose unknown words this process has reported."""
        return set()

    def run(self, cell: Cell, report: Report) -> Record:
        """The record of one cell. It holds any error except an interrupt."""
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
            _check_finite(scores, bench.method.log)
            record = replace(
                record,
                status="ok",
                scores=scores,
                cost=replace(
                    bench.method.cost,
                    eval_seconds=bench.eval_seconds,
                    peak_bytes=peak_bytes(self.device),
                ),
                training_log=bench.method.log,
                draw=bench.method.draw,
            )
        except Exception as error:  # noqa: BLE001  a failed cell gets a record; others still run
            record = replace(record, failure=failure_of(error))
        return replace(record, finished=now())

    def fail(self, cell: Cell, kind: str, message: str) -> None:
        """Record a failure of a cell whose worker died before it could.

        A good record stays: the worker may have died between writing and reporting it.
        """
        stored = self.store.read(cell)
        if stored is not None and stored.status == "ok":
            return
        record = replace(self._blank(cell), failure=Failure(kind, message), finished=now())
        with suppress(Exception):  # an error here must not hide why the worker died
            registry = self.resources.registry
            record = replace(record, metric=registry.get("tasks", cell.task.name).metric)
            record = replace(record, labels=labels(registry, cell))
        self.store.write(record)

    def _blank(self, cell: Cell) -> Record:
        """A record without a result: it says when and where the cell runs."""
        return Record(
            cell=cell,
            status="failed",
            metric="",
            environment=self._environment(),
            started=now(),
        )

    def _environment(self) -> dict[str, str]:
        """`environment`, and the settings of this runner that may change rounding."""
        facts = environment(self.device)
        if self.group.size > 1:
            facts["processes"] = str(self.group.size)
        if self.compile:
            facts["compile"] = self.compile
        return facts

    def _warn(self, cell: Cell, bench: CellBench, report: Report) -> None:
        """Report once which class names have words that the text tower never saw."""
        subject = (cell.dataset, cell.backbone)
        if subject in self.warned:
            return
        self.warned.add(subject)
        names = bench.dataset.classes
        unknown = bench.clip.unknown_words(names)
        if not unknown:
            return
        more = ", ..." if len(unknown) > LISTED_NAMES else ""
        message = (
            f"{len(unknown)} of {len(names)} class names of {cell.dataset} have words that "
            f"backbone {cell.backbone} never saw: {', '.join(unknown[:LISTED_NAMES])}{more}"
        )
        report(Event(cell.key, "evaluate", message=message))


def environment(device: str) -> dict[str, str]:
    """Versions and hardware, to judge cost and to explain differences; no user names or paths."""
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
    """Take part in each training that the first process of the runner's group starts.

    Errors are reported to the first process, which records them.
    """
    while (message := runner.group.receive()) is not None:
        cell, training = message
        with suppress(Exception), runner.group.together():
            CellBench(cell, runner.resources, _ignore, retrain=False).method.assist(training)


def _ignore(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
    return None


def _loader(
    shipped: Mapping[str, Backbone], device: str, backend: str | None, memory: int | None
) -> Callable[[str, str], Clip]:
    """A function that loads the model of each (backbone, precision) once and keeps it."""
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
    """Raise DivergedError for a number that is not finite: JSON cannot hold it."""
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
