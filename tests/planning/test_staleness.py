"""States of cells whose record no longer follows from its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.records import record

from rppbench.planning.status import survey
from rppbench.records.cell import Training
from rppbench.records.record import Record
from rppbench.records.store import Store


@dataclass
class Says:
    """A check with a fixed reason against the records, and the prompts, of one data set."""

    dataset: str
    reason: str
    prompts: bool = False

    def of_record(self, record: Record) -> Sequence[str]:
        return [self.reason] if record.cell.dataset == self.dataset else []

    def of_prompts(self, training: Training, path: Path) -> Sequence[str]:
        return [self.reason] if self.prompts else []


def test_a_record_with_a_reason_is_stale_and_runs_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    records = [record(dataset=name, seed=1) for name in ("birds", "cars")]
    for one in records:
        store.write(one)
    cells = [one.cell for one in records]
    training = cells[0].training
    assert training is not None
    path = store.training_path(training)
    path.parent.mkdir()
    path.touch()
    entries, _ = survey(cells, store, [Says("birds", "moved"), Says("birds", "painted")])
    assert [(e.state, e.why, e.training) for e in entries] == [
        ("stale", ("moved", "painted"), "stored"),
        ("done", (), "shared"),
    ]
    entries, _ = survey(cells, store, [Says("birds", "moved", prompts=True)])
    assert [(e.state, e.training, e.trainings) for e in entries] == [
        ("stale", "learn", 1),
        ("done", "shared", 0),
    ]
    assert [entry.state for entry in survey(cells, store)[0]] == ["done", "done"]
