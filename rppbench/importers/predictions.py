"""Predictions of another program, scored here, as a record.

Its cell says 'imported' among its inputs, so it shares no table with what was predicted here. What
is known of its origin stands in the record: the file with its digest, and what the user says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rppbench import __version__
from rppbench.contracts.dataset import Dataset
from rppbench.contracts.task import Task
from rppbench.errors import UsageError
from rppbench.files.digests import sha256
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Choice, Training
from rppbench.records.record import Record, now

KIND = "predictions"
UNKNOWN = "unknown"
LONGEST = 80
"""Letters of an variant's name."""


@dataclass(frozen=True)
class Origin:
    """What a user says of predictions."""

    variant: str
    """What tables call whoever predicted."""
    backbone: str = UNKNOWN
    seed: int | None = None
    """Of the training; None if it is one of a kind."""
    source: str = ""
    """Program, commit, page."""
    note: str = ""


def cell(task: type[Task], data: Dataset, origin: Origin) -> Cell:
    """The cell of imported predictions: task options are not known, so there are none.

    With a seed there is a training of which nothing else is known; several make one row.
    UsageError for a name that no table can print.
    """
    name = " ".join(origin.variant.split())
    if not name or len(name) > LONGEST:
        raise UsageError(f"an variant's name has 1 to {LONGEST} letters: {origin.variant!r}")
    inputs = (
        (f"dataset:{data.name}", data.fingerprint()),
        ("imported", KIND),
        (f"task:{task.name}", f"version {task.version}"),
    )
    method, backbone = Choice(name), origin.backbone
    training = None
    if origin.seed is not None:
        training = Training(method, Choice(""), "", "all", 0, origin.seed, backbone, None, UNKNOWN)
    return Cell(
        task=Choice(task.name, (("suite", data.suite),)),
        dataset=data.name,
        method=method,
        backbone=backbone,
        precision=UNKNOWN,
        seed=1 if origin.seed is None else origin.seed,
        limit=None,
        training=training,
        inputs=inputs,
    )


def score(
    registry: Registry,
    place: Cell,
    predictions: Path,
    origin: Origin,
    progress: Callable[[int, int], None],
    tell: Callable[[str], None],
) -> Record:
    """The record of a cell, from a file or a folder. UsageError if the task cannot read it."""
    task, dataset = registry.get("tasks", place.task.name), registry.get("datasets", place.dataset)
    if not predictions.exists():
        raise UsageError(f"nothing is at {predictions}")
    started, remarks = now(), list[str]()

    def heard(remark: str) -> None:
        remarks.append(remark)
        tell(remark)

    scores = tuple(task().score_file(dataset(), predictions, progress, heard))
    if not scores:
        raise UsageError(f"{place.dataset!r} has nothing to find, so there is no score")
    members = list(registry.names(dataset.suite, dataset.role))
    said = {"origin": origin.source, "note": origin.note, "remarks": "; ".join(remarks)}
    return Record(
        cell=place,
        status="ok",
        metric=task.metric if any(s.metric == task.metric for s in scores) else scores[0].metric,
        scores=scores,
        labels={
            "method": f"{place.method.name}, imported {KIND}",
            "task": task.title,
            "dataset": dataset.title,
            "dataset_order": str(members.index(place.dataset)) if place.dataset in members else "",
            "suite": dataset.suite,
        },
        environment={
            "imported file": predictions.name,
            "imported sha256": _digest(predictions),
            "rppbench": __version__,
            **{name: text for name, text in said.items() if text},
        },
        started=started,
        finished=now(),
    )


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's files."""
    if path.is_file():
        return sha256(path)
    found = hashlib.sha256()
    for file in sorted(path.glob("*.png")):
        found.update(f"{file.name} {sha256(file)}\n".encode("utf-8", "surrogatepass"))
    return found.hexdigest()
