"""PromptKD's protocol: all training images of a data set are learned from, without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.toy_data import Toy
from support.toy_plugin import PluginOf, ToyPlugin, registry_of
from support.toy_runner import Workspace
from support.training_world import World

from rppbench.contracts.learning import Supervision
from rppbench.errors import UsageError
from rppbench.leaderboard.build import build
from rppbench.plugins.options import options
from rppbench.records.cell import EVERY_IMAGE, UNLABELLED, Training
from rppbench.records.record import Record
from rppbench.reporting.footnotes import footnotes
from rppbench.training.trainer import Trainer
from rppbench_methods.promptkd import PromptKD
from rppbench_tasks.cross_domain import CrossDomain

KD = Supervision(kd=True, kd_weight=1000.0)
SHORT = (("method.depth", "2"), ("recipe.epochs", "2"), ("recipe.augment", "none"))
ON = ("task.transductive", "on")
FOOTNOTE = "Unlabelled target images seen: PromptKD (depth=2). "


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    registry = registry_of(toys=ToyPlugin(tmp_path), more=PluginOf([PromptKD], []))
    return Workspace(registry, tmp_path, monkeypatch)


def run(space: Workspace, task: str, *more: tuple[str, str]) -> list[Record]:
    planned = space.plan("promptkd", task=task, settings=(*SHORT, *more), teacher="teacher")
    records = space.run(planned)
    assert {record.status for record in records} == {"ok"}, records[0].failure
    return records


def training(record: Record) -> Training:
    assert record.cell.training is not None
    return record.cell.training


def test_base_to_new_learns_from_all_images_of_all_classes(space: Workspace) -> None:
    records = run(space, "base-to-new", ON)
    for record in records:
        learned = training(record)
        assert (learned.classes, learned.shots) == (UNLABELLED, EVERY_IMAGE)
        assert learned.source == record.cell.dataset
        metrics = {score.metric for score in record.scores}
        assert {"harmonic_mean", "base", "new"} <= metrics
        assert not any("loss_gap" in metric for metric in metrics)
        images = 7 * {"toy-one": 2, "toy-two": 4}[learned.source]
        assert record.cost.steps == 2 * (images // 8)
        assert "few" not in " ".join(record.environment)
    (table,) = build(records)
    (row,) = table.rows
    assert row.learned_on == "each set itself, all images"
    assert any(note.startswith(FOOTNOTE) for note in footnotes(table))
    assert "Options of the task: transductive=on." in list(footnotes(table))


def test_the_usual_protocol_has_other_keys_and_no_mark(space: Workspace) -> None:
    usual = space.plan("promptkd", task="base-to-new", settings=SHORT, teacher="teacher")
    assert "transductive" not in dict(usual[0].task.options)
    (table,) = build(run(space, "base-to-new"))
    assert not any(note.startswith(("Unlabelled", "Options")) for note in footnotes(table))
    both = [*run(space, "base-to-new"), *run(space, "base-to-new", ON)]
    assert len(build(both)) == 2  # the numbers never share a column


def test_cross_dataset_learns_on_each_target(space: Workspace) -> None:
    records = run(space, "cross-dataset", ON)
    assert {training(r).source for r in records} == {r.cell.dataset for r in records}
    assert {training(r).classes for r in records} == {UNLABELLED}
    assert "transductive" not in options(CrossDomain)


def test_a_method_that_uses_labels_is_refused(space: Workspace) -> None:
    with pytest.raises(UsageError, match="'context' learns from labels"):
        space.plan("context", task="base-to-new", settings=(ON,))
    assert space.plan("fixed", task="base-to-new", settings=(ON,))  # learns nothing


def test_classes_are_not_drawn_by_labels(tmp_path: Path) -> None:
    world = World(tmp_path, PromptKD, supervision=KD, length=2, depth=3)
    unlabelled = replace(world.trainer.training, classes=UNLABELLED)
    sampled, scorer = Supervision(kd=True, sampled=3), world.trainer.scorer
    with pytest.raises(UsageError, match="sampled draws classes by them"):
        Trainer(unlabelled, world.method, sampled, world.clip, world.teacher, Toy(), scorer)
