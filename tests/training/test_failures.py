"""Cells that fail: each is a record with its reason, and no other cell is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.toy_data import Toy
from support.toy_plugin import Context, Fixed, PluginOf, ToyBroken, ToyOne, ToyTwo, registry_of
from support.toy_runner import Workspace
from torch import Tensor

from rppbench.contracts.method import Method
from rppbench.contracts.objective import Step
from rppbench.contracts.prompts import Prompt, Prompts, Space
from rppbench.contracts.task import Bench
from rppbench.planning.status import survey
from rppbench.records.record import Score
from rppbench_tasks.cross_dataset import CrossDataset


class Specific(Method):
    name, title = "specific", "Class-specific"
    learning = Context.learning

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.context = space.normal(space.classes, 2, space.text_width)

    def prompts(self) -> Prompts:
        return Prompts(Prompt(self.context))


class Exploding(Context):
    name, title = "exploding", "Exploding"

    def loss(self, step: Step) -> Tensor:
        return step.loss * torch.inf


class Infinite(CrossDataset):
    name, title = "infinite", "A score that is no number"

    def run(self, bench: Bench) -> list[Score]:
        bench.fit()
        return [Score("top1", 50.0), Score("top5", float("nan"))]


TOYS = PluginOf([Fixed, Context, Specific, Exploding], [Toy, ToyOne, ToyTwo, ToyBroken], [Infinite])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    return Workspace(registry_of(toys=TOYS), tmp_path, monkeypatch)


def test_a_failing_cell_is_a_record_with_its_reason_and_stops_no_other(
    workspace: Workspace,
) -> None:
    planned = workspace.plan("fixed")
    records = {record.cell.dataset: record for record in workspace.run(planned)}
    assert records["toy-broken"].status == "failed"
    assert records["toy-broken"].failure is not None
    assert "cannot identify image file test/0/0" in records["toy-broken"].failure.message
    assert "Traceback" in records["toy-broken"].failure.details
    assert records["toy-two"].status == "ok"
    states = {plan.cell.dataset: plan.state for plan in survey(planned, workspace.runner.store)[0]}
    assert states == {"toy-one": "done", "toy-two": "done", "toy-broken": "failed"}


def test_a_loss_that_explodes_is_recorded_as_nan(workspace: Workspace) -> None:
    (record,) = workspace.run(workspace.plan("exploding", datasets=("toy-one",)))
    assert record.failure is not None
    assert record.failure.kind == "nan"
    assert "at step 0" in record.failure.message


def test_a_score_that_is_no_number_is_recorded_as_nan(workspace: Workspace) -> None:
    (record,) = workspace.run(workspace.plan("context", task="infinite", datasets=("toy-one",)))
    assert record.status == "failed"
    assert record.scores == ()
    assert record.failure is not None
    assert record.failure.kind == "nan"
    assert record.failure.message == "the score 'top5' became nan"


def test_a_cell_that_cannot_be_labelled_is_a_record_too(workspace: Workspace) -> None:
    (cell,) = workspace.plan("fixed", datasets=("toy-one",))
    cell = replace(cell, dataset="gone")
    (record,) = workspace.run([cell])
    assert record.failure is not None
    assert "no data set is named 'gone'" in record.failure.message
    assert record.metric == "top1"


def test_a_cell_whose_worker_died_is_recorded_for_it(workspace: Workspace) -> None:
    (cell,) = workspace.plan("fixed", datasets=("toy-one",))
    workspace.runner.fail(cell, "WorkerDied", "the worker died: SIGKILL")
    record = workspace.runner.store.read(cell)
    assert record is not None
    assert record.failure is not None
    assert record.failure.kind == "WorkerDied"
    assert (record.metric, record.labels["dataset"]) == ("top1", "Toy one")
    gone = replace(cell, dataset="gone")
    workspace.runner.fail(gone, "WorkerDied", "the worker died: SIGKILL")
    assert workspace.runner.store.read(gone) is not None


def test_the_death_of_a_worker_does_not_erase_a_good_record(workspace: Workspace) -> None:
    planned = workspace.plan("fixed", datasets=("toy-one",))
    (record,) = workspace.run(planned)
    workspace.runner.fail(planned[0], "WorkerDied", "the worker died: SIGKILL")
    assert workspace.runner.store.read(planned[0]) == record


def test_class_specific_contexts_refuse_other_classes_in_words(workspace: Workspace) -> None:
    (record,) = workspace.run(workspace.plan("specific", datasets=("toy-one",)))
    assert record.failure is not None
    assert record.failure.kind == "usage"
    assert "cannot classify 'toy-one'" in record.failure.message
    assert record.failure.details == ""
