"""Predictions that another program wrote, scored here and kept as a record.

The cell has 'imported' among its inputs, so it shares no table with cells that were predicted
here. The record holds what is known of the origin: the file's digest, and what the user states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rppbench import __version__
from rppbench.contracts.dataset import Dataset
from rppbench.contracts.task import Task
from rppbench.errors import UsageError
from rppbench.files.digests import sha256
from rppbench.plugins.options import options
from rppbench.plugins.registry import Registry
from rppbench.plugins.versions import core_version, task_version, version_of
from rppbench.records.cell import Cell, Choice, Option, Training
from rppbench.records.record import Record, now

KIND = "predictions"
UNKNOWN = "unknown"
MAX_NAME_LENGTH = 80
"""Maximum number of characters of a variant's name."""


@dataclass(frozen=True)
class Origin:
    """Where predictions are from, as the user states it."""

    variant: str
    """Name of the row: the model that predicted, as tables print it."""
    backbone: str = UNKNOWN
    seed: int | None = None
    """Seed of its training; None if there is only one training."""
    source: str = ""
    """Program, commit or address."""
    note: str = ""
    """Anything else a reader should know."""


def imported_cell(
    task: type[Task], data: Dataset, origin: Origin, explicit: Mapping[str, Option]
) -> Cell:
    """The cell of imported predictions. Of the task's options it has those that score a file.

    explicit: the options of the task that were given.
    With a seed it has a training, whose other fields are unknown; cells that differ only in the
    seed make one row. UsageError for a variant's name that is empty or too long for a table, and
    for options that do not change the score of a file.
    """
    name = " ".join(origin.variant.split())
    if not name or len(name) > MAX_NAME_LENGTH:
        raise UsageError(
            f"a variant's name has 1 to {MAX_NAME_LENGTH} characters: {origin.variant!r}"
        )
    for option in explicit:
        if option not in task.file_options:
            raise UsageError(
                f"option {option!r} of {task.name!r} does not change the score of a file of "
                f"predictions; options that do: {', '.join(task.file_options) or '(none)'}"
            )
    # Keys of cells without options stay: an option that has its default adds nothing.
    usual = options(task)
    changed = {name: value for name, value in explicit.items() if value != usual[name]}
    inputs = (
        (f"dataset:{data.name}", data.fingerprint()),
        ("imported", KIND),
        *task_version(task),
        *version_of("version", type(data)),
        *core_version(),
    )
    method, backbone = Choice(name), origin.backbone
    training = None
    if origin.seed is not None:
        training = Training(method, Choice(""), "", "all", 0, origin.seed, backbone, None, UNKNOWN)
    return Cell(
        task=Choice(task.name, tuple(sorted({"suite": data.suite, **changed}.items()))),
        dataset=data.name,
        method=method,
        backbone=backbone,
        precision=UNKNOWN,
        seed=1 if origin.seed is None else origin.seed,
        limit=None,
        training=training,
        inputs=inputs,
    )


def scored_record(
    registry: Registry,
    cell: Cell,
    predictions: Path,
    origin: Origin,
    report_progress: Callable[[int, int], None],
    report_remark: Callable[[str], None],
) -> Record:
    """The record of a cell from `imported_cell`, whose task scores the predictions.

    predictions: a file or a folder in a format that the task reads.
    report_progress: called with the number of images done and the total.
    report_remark: called with each remark of the task on the file; the record keeps them too.
    UsageError if nothing is at the path, the task cannot read it, or there is nothing to score.
    """
    task: type[Task] = registry.get("tasks", cell.task.name)
    dataset: type[Dataset] = registry.get("datasets", cell.dataset)
    given = {name: value for name, value in cell.task.options if name in task.file_options}
    if not predictions.exists():
        raise UsageError(f"nothing is at {predictions}")
    started, remarks = now(), list[str]()

    def keep_remark(remark: str) -> None:
        remarks.append(remark)
        report_remark(remark)

    scorer = task(**given)
    scores = tuple(scorer.score_file(dataset(), predictions, report_progress, keep_remark))
    if not scores:
        raise UsageError(f"{cell.dataset!r} has nothing to find, so there is no score")
    if not any(score.value for score in scores):
        lines = (
            f"every score of {predictions} is 0, so nothing in it agrees with {cell.dataset!r}",
            "are the ids, the boxes and the data set those of the program that predicted?",
            *remarks,
        )
        raise UsageError("\n".join(lines))
    members = list(registry.names(dataset.suite, dataset.role))
    notes = {"origin": origin.source, "note": origin.note, "remarks": "; ".join(remarks)}
    return Record(
        cell=cell,
        status="ok",
        metric=task.metric if any(s.metric == task.metric for s in scores) else scores[0].metric,
        scores=scores,
        labels={
            "method": f"{cell.method.name}, imported {KIND}",
            "task": task.title,
            "dataset": dataset.title,
            "dataset_order": str(members.index(cell.dataset)) if cell.dataset in members else "",
            "suite": dataset.suite,
        },
        environment={
            "imported file": predictions.name,
            "imported sha256": _digest(predictions),
            "rppbench": __version__,
            **{name: text for name, text in notes.items() if text},
        },
        started=started,
        finished=now(),
    )


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's PNG files."""
    if path.is_file():
        return sha256(path)
    listing = hashlib.sha256()
    for file in sorted(path.glob("*.png")):
        listing.update(f"{file.name} {sha256(file)}\n".encode("utf-8", "surrogatepass"))
    return listing.hexdigest()
