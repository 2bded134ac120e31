"""Selection of one training, or of the records of one variant, by the text that a user types."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rppbench.comparison.row_names import matches, spelling
from rppbench.errors import UsageError, unknown
from rppbench.leaderboard.variants import variants
from rppbench.records.cell import Training, shots_text
from rppbench.records.record import Record

KEY = re.compile(r"[0-9a-f]{1,12}")
"""A cell's key or its start."""


def select_training(records: Sequence[Record], text: str, seed: int | None = None) -> Training:
    """The one training that `text` names: a cell's key or its start, or a method with its options.

    UsageError, which lists the choices, if no training matches or several do, and for a method
    that learns nothing.
    """
    matching = matching_records(records, text)
    if not any(record.cell.training for record in matching):
        raise UsageError(f"{matching[0].cell.method.name!r} learns nothing: there is no prompt")
    learned: dict[str, Record] = {}
    for record in matching:
        if record.cell.training and seed in (None, record.cell.seed):
            learned.setdefault(record.cell.training.key, record)
    if not learned:
        seeds = sorted({record.cell.seed for record in matching})
        listed = ", ".join(map(str, seeds))
        raise UsageError(f"{text!r} was not run with seed {seed}; seeds: {listed}")
    if len(learned) > 1:
        lines = [f"  {_described(record)}" for record in learned.values()]
        head = f"{text!r} matches several trainings; give --seed, or the key:"
        raise UsageError("\n".join([head, *lines]))
    (record,) = learned.values()
    assert record.cell.training
    return record.cell.training


def matching_records(records: Sequence[Record], text: str) -> list[Record]:
    """Records with a score that `text` names: a key or its start, or a method with its options.

    UsageError, which lists the known variants, if no record matches.
    """
    scored = [record for record in records if record.status == "ok"]
    matching = [r for r in scored if KEY.fullmatch(text) and r.key.startswith(text)]
    known = variants(scored)
    if not matching:
        fitting = [variant for variant in known if matches(variant, text)]
        matching = [record for variant in fitting for record in variant.records]
    if not matching:
        names = {spelling(variant) for variant in known}
        notes = ["or the key of a cell (the first field of its record), or the start of a key"]
        raise unknown("cell with a score is named", text, names, "methods", notes)
    return matching


def _described(record: Record) -> str:
    """One line for a list of choices: the key, the method and how it was trained."""
    cell, training = record.cell, record.cell.training
    assert training
    options = record.labels.get("method_options", "").replace(", ", ",")
    method = f"{cell.method.name}:{options}" if options else cell.method.name
    return (
        f"{record.key}  {method}, {training.recipe.name}, seed {cell.seed}, "
        f"{shots_text(training.shots)} of {training.classes} classes of {training.source}, "
        f"{training.backbone}"
    )
