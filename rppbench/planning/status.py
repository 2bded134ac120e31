"""What a run of planned cells would do now: which are done, which train, how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rppbench.files.atomic import Problem
from rppbench.planning.fingerprints import MISSING
from rppbench.records.cell import Cell, Training
from rppbench.records.record import Cost
from rppbench.records.store import Store


@dataclass(frozen=True)
class Planned:
    """A cell and what would happen to it."""

    cell: Cell
    state: str
    """'todo', 'done', 'failed' (ran before without success) or 'blocked' (data is missing)."""
    training: str
    """'none', 'learn', 'shared' (a cell before learns the same) or 'stored'."""
    trainings: int
    """How many it runs: a training may need another one before it."""
    seconds: float | None
    """Estimate from earlier records of the same method; None if there are none."""


def survey(planned: Sequence[Cell], store: Store) -> tuple[list[Planned], list[Problem]]:
    """What a run of these cells would do now, and what among the records is damaged."""
    records, problems = store.all()
    known = {record.key: record for record in records}
    costs: dict[tuple[str, str, str], list[Cost]] = {}
    for earlier in records:
        if earlier.status == "ok":
            costs.setdefault(_like(earlier.cell), []).append(earlier.cost)
    learned: set[str] = set()
    result = []
    for cell in planned:
        record = known.get(cell.key)
        state = "todo" if record is None else {"ok": "done"}.get(record.status, "failed")
        if MISSING in _digests(cell):
            state = "blocked"
        training = _source(cell.training, learned, store)
        needed = _needed(cell.training, learned, store) if training == "learn" else set()
        if state != "done" and cell.training is not None:
            learned |= {cell.training.key, *needed}
        seconds = 0.0 if state == "done" else _estimate(costs.get(_like(cell)), training)
        result.append(Planned(cell, state, training, len(needed), seconds))
    return result, problems


def _source(training: Training | None, learned: set[str], store: Store) -> str:
    """`Planned.training`, where trainings in `learned` have run."""
    if training is None:
        return "none"
    if training.key in learned:
        return "shared"
    return "stored" if store.training_path(training).exists() else "learn"


def _needed(training: Training | None, learned: set[str], store: Store) -> set[str]:
    """Keys of a training and of those before it, as far as they have to run."""
    needed: set[str] = set()
    while training is not None and _source(training, learned, store) == "learn":
        needed.add(training.key)
        training = training.start
    return needed


def _digests(cell: Cell) -> set[str]:
    pairs, training = list(cell.inputs), cell.training
    while training is not None:
        pairs += training.inputs
        training = training.start
    return {value for _, value in pairs}


def _like(cell: Cell) -> tuple[str, str, str]:
    """Cells that agree in this take about as long."""
    return cell.method.name, cell.task.name, cell.backbone


def _estimate(like: Sequence[Cost] | None, training: str) -> float | None:
    """Median seconds of earlier ok cells that are alike, training included if it is due."""
    if not like:
        return None
    seconds = median(cost.eval_seconds for cost in like)
    if training == "learn":
        seconds += median(cost.train_seconds for cost in like)
    return float(seconds)
