"""The state of each planned cell and of its training: what is done, and where a run resumes.

A cell is done if the store has its record, and stale if that record no longer follows from its
inputs (`planning.staleness`). A training is stored if its prompts are, and resumes from its
.partial file if there is one (`training.state`); otherwise it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from types import MappingProxyType

from rppbench.errors import UsageError
from rppbench.files.atomic import Problem
from rppbench.planning.input_digests import BROKEN, MISSING
from rppbench.planning.staleness import Check, why_learned_again, why_stale
from rppbench.plugins.containment import contained, uncontained
from rppbench.records.cell import Cell, Pairs, Training
from rppbench.records.record import CRASH, Cost, Record
from rppbench.records.store import Store

Model = Callable[[Cell, Sequence[Training]], float | None]
"""A model of what a cell and trainings before it take, in seconds; None where it cannot say."""
TO_RUN = ("learn", "resume")
"""States of a training that has to run."""


@dataclass(frozen=True)
class Planned:
    """A planned cell, its state, and the trainings that it still needs."""

    cell: Cell
    state: str
    """'todo', 'done', 'stale' (inputs have changed since), 'failed' (ran before without success),
    'crashed' (a process died in it), 'blocked' (its data cannot be read) or 'refused' (the backbone
    does not take what the method learns)."""
    training: str
    """'none', 'learn', 'resume', 'shared' (an earlier cell runs the same training) or 'stored'."""
    trainings: int
    """Number of trainings to run for it; a training may need a pretraining before it."""
    seconds: float | None
    """Estimate from earlier records of similar cells, else from the model of costs; None if neither
    knows."""
    why: tuple[str, ...] = ()
    """What has changed since a stale record was computed, in words."""
    reason: str = ""
    """Why the cell is refused or blocked; '' in any other state."""
    modelled: bool = False
    """Whether `seconds` are from the model of costs (`planning.costs`)."""


def survey(
    planned: Sequence[Cell],
    store: Store,
    checks: Sequence[Check] = (),
    refusal: Callable[[Cell], str] = lambda cell: "",
    unreadable: Mapping[str, str] = MappingProxyType({}),
    model: Model = lambda cell, trainings: None,
) -> tuple[list[Planned], list[Problem]]:
    """The state of each of these cells before a run, and the damaged records.

    `checks` find the records and prompts that no longer follow from their inputs. `refusal` gives
    the reason why a cell cannot run on its backbone, or ''; `unreadable` has that of inputs that
    could not be read, by their names. `model` gives the seconds of a cell that no record is like,
    with the trainings that it still needs.
    """
    records, problems = store.all()
    known = {record.key: record for record in records}
    medians = _medians(records)
    scheduled: set[str] = set()
    """Keys of the trainings that the cells before this one run."""
    kept, checked = _Trainings(store, scheduled, ()), _Trainings(store, scheduled, checks)
    result = []
    for cell in planned:
        stored = known.get(cell.key)
        state = "todo" if stored is None else _recorded(stored)
        lacking = [*_unreadable(cell.inputs)]
        lacking += [name for one in cell.trainings for name in _unreadable(one.inputs)]
        if lacking:
            state = "blocked"
        why = why_stale(stored, checks) if stored is not None and state == "done" else ()
        if why:
            state = "stale"
        reason = "" if state == "done" else _reason(refusal, cell)
        if reason:  # nothing is trained for it
            result.append(Planned(cell, "refused", "none", 0, None, (), reason))
            continue
        if lacking:
            reason = "\n".join(dict.fromkeys(unreadable.get(name, name) for name in lacking))
        trainings = kept if state == "done" else checked
        training = trainings.state(cell.training)
        needed = trainings.needed(cell.training)
        if state != "done" and cell.training is not None:
            scheduled |= {cell.training.key, *needed}
        seconds = 0.0 if state == "done" else _estimate(medians.get(_similarity(cell)), training)
        modelled = False
        if seconds is None:
            seconds = model(cell, list(needed.values()))
            modelled = seconds is not None
        result.append(Planned(cell, state, training, len(needed), seconds, why, reason, modelled))
    return result, problems


@lru_cache(maxsize=4096)  # cells of one data set share theirs
def _unreadable(inputs: Pairs) -> tuple[str, ...]:
    """The inputs whose digest could not be computed."""
    return tuple(name for name, digest in inputs if digest in (MISSING, BROKEN))


def _reason(refusal: Callable[[Cell], str], cell: Cell) -> str:
    """Why the cell is refused; '' where the method's code fails to say: running it reports that."""
    try:
        with contained():
            return refusal(cell)
    except UsageError:
        raise
    except Exception:
        if uncontained():
            raise
        return ""


def _recorded(record: Record) -> str:
    if record.failure is None:
        return "done"
    return "crashed" if record.failure.kind == CRASH else "failed"


@dataclass(frozen=True)
class _Trainings:
    """The states of trainings, as if the scheduled ones had run."""

    store: Store
    scheduled: Collection[str]
    """Keys of trainings."""
    checks: Sequence[Check]
    on_disk: dict[str, str] = field(default_factory=dict)
    """States of the trainings that were looked for on disk, by key: many cells share one."""

    def state(self, training: Training | None) -> str:
        """The value of `Planned.training`."""
        if training is None:
            return "none"
        if training.key in self.scheduled:
            return "shared"
        if training.key not in self.on_disk:
            self.on_disk[training.key] = self._on_disk(training)
        return self.on_disk[training.key]

    def _on_disk(self, training: Training) -> str:
        path = self.store.training_path(training)
        for place, state in ((path, "stored"), (path.with_suffix(".partial"), "resume")):
            if place.exists() and not why_learned_again(training, place, self.checks):
                return state
        return "learn"

    def needed(self, training: Training | None) -> dict[str, Training]:
        """The trainings that have to run, by key: this one and those that it starts from."""
        needed: dict[str, Training] = {}
        while training is not None and self.state(training) in TO_RUN:
            needed[training.key] = training
            training = training.start
        return needed


def _similarity(cell: Cell) -> tuple[str, str, str]:
    """A key that is shared by cells that take about the same time."""
    return cell.method.name, cell.task.name, cell.backbone


def _medians(records: Iterable[Record]) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Median seconds of scoring and of training of similar cells that are recorded."""
    costs: dict[tuple[str, str, str], list[Cost]] = {}
    for record in records:
        if record.status == "ok":
            costs.setdefault(_similarity(record.cell), []).append(record.cost)
    return {
        similar: (median(c.eval_seconds for c in of), median(c.train_seconds for c in of))
        for similar, of in costs.items()
    }


def _estimate(earlier: tuple[float, float] | None, training: str) -> float | None:
    """Seconds by the medians of earlier similar cells, with the training if it has to run."""
    if earlier is None:
        return None
    scoring, learning = earlier
    return float(scoring + learning if training in TO_RUN else scoring)
