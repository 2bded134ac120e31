"""The job that every engine runs: from a cell to its record."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import torch

from rppbench import __version__
from rppbench.contracts.engine import CellGroup, Event, Report
from rppbench.data.contents import DataContents
from rppbench.errors import (
    ChangedBackboneError,
    ContractError,
    DataChangedError,
    DivergedError,
    OutputError,
    RefusedError,
)
from rppbench.execution.bench import CellBench
from rppbench.execution.peak_memory import peak_bytes, reset_peak
from rppbench.execution.resources import Resources
from rppbench.execution.score_checks import checked_scores
from rppbench.execution.start_mark import first_line, start_mark, take_dump
from rppbench.features.store import FeatureStore
from rppbench.files.cache_folder import cache_folder, cache_limit
from rppbench.models.clip import Clip, load
from rppbench.planning.input_digests import BROKEN, MISSING, fingerprint
from rppbench.planning.refusals import Refusals
from rppbench.plugins.containment import contained, uncontained
from rppbench.plugins.descriptions import labels
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell
from rppbench.records.record import FEWER_IMAGES, SEEN_NAMES, VALIDATION, Failure, Record, now
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
    inference_cost: bool = False
    """Whether to measure what live predictions cost (`--inference-cost`)."""
    compile: str | None = None
    """Backend of `torch.compile` for the towers; None does not compile them."""
    trust_data: bool = False
    """Whether to take stored digests of files without looking at the files (`--trust-data`)."""
    data_since: float = 0.0
    """Files that were read before this time are read anew (`--verify-data`); see `DataContents`."""
    group: Group = ALONE
    """The processes that share each training; this one leads."""
    place: Mapping[str, str] = field(default_factory=dict)
    """Where it runs, for the environment of records; see `contracts.engine.Job`."""
    earlier: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict)
    """Failures of earlier tries by the key of a cell."""

    def __getstate__(self) -> dict[str, object]:
        """Only the settings are sent to a worker; models and data are loaded there.

        The worker may have another working folder.
        """
        settings = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return settings | {"output": self.output.absolute()}

    def __call__(self, batch: CellGroup, report: Report) -> None:
        for cell in batch:
            try:
                with self._mark(cell) as crash:
                    record = self._failed(cell, crash) if crash else self.run(cell, report)
                    record = self._stored(record)
            except OSError as error:  # no other cell could be stored either
                raise OutputError(f"cannot write to {self.output}: {error.strerror}") from error
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
        resources = Resources(
            registry=registry,
            load=_loader(registry, self.device, self.compile, self.memory),
            features=FeatureStore(cache_folder(), cache_limit()),
            prompts=self.store.training_path,
            batch_size=self.batch_size,
            workers=self.num_workers,
            group=self.group,
            contents=DataContents(self.trust_data, self.data_since),
        )
        resources.code.read_all()
        return resources

    @cached_property
    def refusal(self) -> Refusals:
        """Says which cells cannot run on their backbone; their models are not loaded."""
        return Refusals(self.resources.registry)

    @cached_property
    def warned(self) -> set[tuple[str, str]]:
        """Each (data set, backbone or training) of which this process has reported a remark."""
        return set()

    def run(self, cell: Cell, report: Report) -> Record:
        """The record of one cell. It holds any error except an interrupt."""
        report(Event(cell.key, "start"))
        record = self._blank(cell)

        def notify(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
            report(Event(cell.key, phase, done, total, metrics))

        def warn(line: str) -> None:
            report(Event(cell.key, "train", message=line))

        try:
            reset_peak(self.device)
            self.resources.backbones.start_cell()
            registry = self.resources.registry
            with contained():
                task = registry.get("tasks", cell.task.name)
                record = replace(record, metric=task.metric)
                record = replace(record, labels=labels(registry, cell))
                record = replace(record, code=self.resources.code.of(cell))
                if reason := self.refusal(cell):
                    raise RefusedError(reason)
                self._check_inputs(cell)
                bench = CellBench(cell, self.resources, notify, self.retrain, warn)
                if guessed := bench.clip.guessed:
                    facts = {**record.environment, "weights taken as": guessed}
                    record = replace(record, environment=facts)
                self._warn(cell, bench, report)
                given = task(**dict(cell.task.options)).run(bench)
                scores = checked_scores(cell.task.name, given, bench.evaluated)
            if seen := bench.seen_names:
                record = replace(record, labels={**record.labels, SEEN_NAMES: seen})
            if few := bench.method.few_images:
                facts = {**record.environment, FEWER_IMAGES: few}
                record = replace(record, environment=facts)
                self._warn_of_few(cell, few, report)
            if all(score.metric != task.metric for score in scores):
                record = replace(record, metric=scores[0].metric)
            _check_finite(bench.method.log)
            cost = replace(
                bench.method.cost,
                eval_seconds=bench.eval_seconds,
                peak_bytes=peak_bytes(self.device),
            )
            if self.inference_cost and (live := bench.inference_cost()):
                cost = replace(cost, **asdict(live))
            self.resources.backbones.check()
            self.resources.contents.check_all()
            if validation := bench.method.chosen_on:
                record = replace(record, labels={**record.labels, VALIDATION: validation})
            record = replace(
                record,
                status="ok",
                scores=scores,
                cost=cost,
                training_log=bench.method.log,
                draw=bench.method.draw,
                contents=bench.contents,
            )
        except Exception as error:  # a failed cell gets a record; the others still run
            if uncontained() or isinstance(error, OutputError) or self._is_of_output(error):
                raise
            record = replace(record, failure=self._failure(cell, error))
        return replace(record, finished=now())

    def _mark(self, cell: Cell) -> AbstractContextManager[Failure | None]:
        """The start mark of a cell, with the failure that a dead process left there."""
        progress = self.store.training_path(cell.training) if cell.training else None
        if progress and not progress.exists():
            progress = progress.with_suffix(".partial")
        return start_mark(self.store.record_path(cell), progress)

    def _stored(self, record: Record) -> Record:
        """Write the record; where its content cannot be stored, one of that failure instead."""
        try:
            self.store.write(record)
        except (ValueError, TypeError) as error:
            what = ContractError(f"the results cannot be stored: {error}")
            record = self._failed(record.cell, failure_of(what))
            self.store.write(record)
        return record

    def _is_of_output(self, error: BaseException) -> bool:
        """Whether the folder of records, not the cell, is why something could not be written."""
        place = error.filename if isinstance(error, OSError) else None
        return isinstance(place, str) and Path(place).is_relative_to(self.output)

    def _check_inputs(self, cell: Cell) -> None:
        """Raise what kept the plan from reading a data set.

        DataChangedError if a data set is no longer the one that the cell was planned for.
        """
        for name, planned in cell.all_inputs:
            kind, _, dataset = name.partition(":")
            if kind != "dataset":
                continue
            if planned in (MISSING, BROKEN):
                fingerprint(self.resources.dataset(dataset))
                raise ContractError(
                    f"data set {dataset!r} could not be read when this run was planned; run again"
                )
            if self.resources.dataset(dataset).fingerprint() != planned:
                raise DataChangedError(
                    f"{dataset} has changed since the cell was planned; issue the command again"
                )

    def _failure(self, cell: Cell, error: Exception) -> Failure:
        """The failure of a cell. If it changed a backbone too, that is the likely cause."""
        if "resources" not in vars(self):  # they could not be made, and there is no backbone yet
            return failure_of(error)
        try:
            self.resources.backbones.check()
        except ChangedBackboneError as change:
            first_line = (str(error).splitlines() or [""])[0]
            error = ChangedBackboneError(f"{change} (then {type(error).__name__}: {first_line})")
        except Exception:  # noqa: BLE001  a broken device fails here too; the first error says why
            pass
        if isinstance(error, ChangedBackboneError):
            self.resources.fitted = {}
            error = ChangedBackboneError(f"method {cell.method.name!r}: {error}")
        return failure_of(error)

    def fail(self, cell: Cell, kind: str, message: str) -> None:
        """Record a failure of a cell whose worker died before it could.

        A good record stays: the worker may have died between writing and reporting it.
        """
        stored = self.store.read(cell)
        if stored is not None and stored.status == "ok":
            return
        dump = take_dump(self.store.record_path(cell))
        if dump:
            message = f"{message}: {first_line(dump)}"
        try:
            self.store.write(self._failed(cell, Failure(kind, message, dump)))
        except OSError as error:
            raise OutputError(f"cannot write to {self.output}: {error.strerror}") from error

    def failure(self, cell: Cell) -> Failure | None:
        """The failure in the record of a cell; None if it has no record or a good one."""
        stored = self.store.read(cell)
        return None if stored is None else stored.failure

    def _failed(self, cell: Cell, failure: Failure) -> Record:
        """The record of a cell that did not come to its end."""
        record = replace(self._blank(cell), failure=failure, finished=now())
        with suppress(Exception), contained():  # an error here must not hide the failure
            registry = self.resources.registry
            record = replace(record, metric=registry.get("tasks", cell.task.name).metric)
            record = replace(record, labels=labels(registry, cell))
        return record

    def _blank(self, cell: Cell) -> Record:
        """A record without a result: it says when and where the cell runs."""
        return Record(
            cell=cell,
            status="failed",
            metric="",
            environment=self._environment(),
            started=now(),
            earlier=self.earlier.get(cell.key, ()),
        )

    def _environment(self) -> dict[str, str]:
        """`environment`, and the settings of this runner that may change rounding."""
        facts = environment(self.device)
        if self.group.size > 1:
            facts["processes"] = str(self.group.size)
        if self.compile:
            facts["compile"] = self.compile
        return {**facts, **self.place}

    def _warn_of_few(self, cell: Cell, few: str, report: Report) -> None:
        """Report once a training which classes have fewer images than shots."""
        assert cell.training is not None
        subject = (cell.training.source, cell.training.key)
        if subject not in self.warned:
            self.warned.add(subject)
            report(Event(cell.key, "evaluate", message=f"{cell.training.source}: {few}"))

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
        runner.resources.backbones.start_cell()
        with suppress(Exception), contained(), runner.group.together():
            CellBench(cell, runner.resources, _ignore, retrain=False).method.assist(training)


def _ignore(phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
    return None


def _loader(
    registry: Registry, device: str, backend: str | None, memory: int | None
) -> Callable[[str, str], Clip]:
    """A function that loads the model of a (backbone, precision)."""
    shipped, kinds = registry.all("backbones"), registry.towers()

    def get(backbone: str, precision: str) -> Clip:
        clip = load(backbone, shipped, precision, device, memory, kinds)
        if backend:
            clip.compile(backend)
        return clip

    return get


def _check_finite(log: Sequence[Mapping[str, float]]) -> None:
    """Raise DivergedError for a number that is not finite: JSON cannot hold it."""
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
