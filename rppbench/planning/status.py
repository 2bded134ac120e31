"""The state of each planned cell and of its training: what is done, and where a run resumes.

A cell is done if the store has its record. A training is stored if its prompts are, and resumes
from its .partial file if there is one (`training.state`); otherwise it begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rppbench.files.atomic import Problem
from rppbench.planning.input_digests import MISSING
from rppbench.records.cell import Cell, Training
from rppbench.records.record import Cost
from rppbench.records.store import Store

TO_RUN = ("learn", "resume")
"""States of a training that has to run."""


@dataclass(frozen=True)
class Planned:
    """A planned cell, its state, and the trainings that it still needs."""

    cell: Cell
    state: str
    """'todo', 'done', 'failed' (ran before without success) or 'blocked' (data is missing)."""
    training: str
    """'none', 'learn', 'resume', 'shared' (an earlier cell runs the same training) or 'stored'."""
    trainings: int
    """Number of trainings to run for it; a training may need a pretraining before it."""
    seconds: float | None
    """Estimate from earlier records of similar cells; None without such records."""


def survey(planned: Sequence[Cell], store: Store) -> tuple[list[Planned], list[Problem]]:
    """The state of each of these cells before a run, and the damaged records."""
    records, problems = store.all()
    known = {record.key: record for record in records}
    costs: dict[tuple[str, str, str], list[Cost]] = {}
    for record in records:
        if record.status == "ok":
            costs.setdefault(_similarity(record.cell), []).append(record.cost)
    scheduled: set[str] = set()
    """Keys of the trainings that the cells before this one run."""
    result = []
    for cell in planned:
        stored = known.get(cell.key)
        state = "todo" if stored is None else {"ok": "done"}.get(stored.status, "failed")
        if MISSING in _digests(cell):
            state = "blocked"
        training = _training_state(cell.training, scheduled, store)
        needed = _needed(cell.training, scheduled, store)
        if state != "done" and cell.training is not None:
            scheduled |= {cell.training.key, *needed}
        seconds = 0.0 if state == "done" else _estimate(costs.get(_similarity(cell)), training)
        result.append(Planned(cell, state, training, len(needed), seconds))
    return result, problems


def _training_state(training: Training | None, scheduled: set[str], store: Store) -> str:
    """The value of `Planned.training`, as if the scheduled trainings had run."""
    if training is None:
        return "none"
    if training.key in scheduled:
        return "shared"
    path = store.training_path(training)
    if path.exists():
        return "stored"
    return "resume" if path.with_suffix(".partial").exists() else "learn"


def _needed(training: Training | None, scheduled: set[str], store: Store) -> set[str]:
    """Keys of the trainings that have to run: this one and the pretrainings that it starts from."""
    needed: set[str] = set()
    while training is not None and _training_state(training, scheduled, store) in TO_RUN:
        needed.add(training.key)
        training = training.start
    return needed


def _digests(cell: Cell) -> set[str]:
    pairs, training = list(cell.inputs), cell.training
    while training is not None:
        pairs += training.inputs
        training = training.start
    return {value for _, value in pairs}


def _similarity(cell: Cell) -> tuple[str, str, str]:
    """A key that is shared by cells that take about the same time."""
    return cell.method.name, cell.task.name, cell.backbone


def _estimate(earlier: Sequence[Cost] | None, training: str) -> float | None:
    """Median seconds of earlier similar cells, with the training if it has to run."""
    if not earlier:
        return None
    seconds = median(cost.eval_seconds for cost in earlier)
    if training in TO_RUN:
        seconds += median(cost.train_seconds for cost in earlier)
    return float(seconds)
