"""`--accept-code`: a person says that a change of a plugin's source touches no number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rppbench.planning.code_digests import CodeDigests, changed
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, Training
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.training.state import accept_code

ACCEPTED = "accepted code"
"""Entry of a record's environment: which digests were accepted in place of which."""


def accept(registry: Registry, cells: Iterable[Cell], store: Store) -> None:
    """Give the records and prompts of these cells the digests of today's code; numbers stay."""
    digests = CodeDigests(registry)
    trainings: dict[str, Training] = {}
    records = {record.key: record for record in store.all()[0]}
    for cell in cells:
        record = records.get(cell.key)
        if record is not None and (accepted := _accepted(record, digests)) != record:
            store.write(accepted)
        trainings |= {training.key: training for training in cell.trainings}
    for training in trainings.values():
        if now := digests.of_training(training):
            path = store.training_path(training)
            for stored in (path, path.with_suffix(".partial")):
                accept_code(stored, training.key, now)


def _accepted(record: Record, digests: CodeDigests) -> Record:
    """The record with today's digests, and a note in its environment; the same if none differs."""
    now = digests.of(record.cell)
    notes = [f"{name} {record.code[name]} -> {now[name]}" for name in changed(record.code, now)]
    if not notes:
        return record
    earlier = filter(None, [record.environment.get(ACCEPTED)])
    return replace(
        record,
        code=now,
        environment={**record.environment, ACCEPTED: "; ".join([*earlier, *notes])},
    )
