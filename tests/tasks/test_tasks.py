"""The built-in tasks on toy data: what they learn on, what they score, and the primary metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.toy_plugin import ToyOne, toy_registry
from support.toy_runner import ToyRunner

from rppbench.contracts.engine import Event
from rppbench.contracts.task import Task
from rppbench.errors import UsageError
from rppbench.files.atomic import Problem
from rppbench.leaderboard.build import build
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.planning.status import survey
from rppbench.plugins.descriptions import labels
from rppbench.plugins.options import options
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell
from rppbench.records.confidence import read_confidences
from rppbench.records.record import Record, Score
from rppbench.records.store import Store
from rppbench.stats.calibration import calibration_error
from rppbench.stats.intervals import harmonic_mean
from rppbench.testing import check_task
from rppbench.training.state import learned_parameters
from rppbench_methods.coop import CoOp
from rppbench_methods.rpp import RPP
from rppbench_tasks.base_to_new import BaseToNew
from rppbench_tasks.cross_dataset import CrossDataset
from rppbench_tasks.cross_domain import CrossDomain
from rppbench_tasks.detection import Detection
from rppbench_tasks.few_shot import FewShot
from rppbench_tasks.fine_tune import FineTune
from rppbench_tasks.pretraining import Pretraining
from rppbench_tasks.segmentation import Segmentation
from rppbench_tasks.validation import Validation

TASKS: list[type[Task]] = [
    *(Pretraining, CrossDataset, CrossDomain, FewShot, BaseToNew, FineTune, Validation),
]


def plan(
    models: Path,
    *tasks: str,
    method: str = "context",
    shots: tuple[int, ...] = (),
    settings: tuple[tuple[str, str], ...] = (),
) -> list[Cell]:
    named = tuple(f"{task}:suite=toy" for task in tasks)
    asked = Request((method,), named, backbone="tiny", shots=shots, settings=settings)
    return cells(toy_registry(models), asked)


def run(models: Path, folder: Path, planned: list[Cell]) -> tuple[list[Record], list[Event]]:
    events: list[Event] = []
    runner = ToyRunner(folder, models=models, batch_size=20)
    for batch in cell_groups(planned):
        runner(batch, events.append)
    records = [runner.store.read(cell) for cell in planned]
    assert all(record is not None and record.status == "ok" for record in records), records
    return [record for record in records if record], events


def value(record: Record, metric: str) -> float:
    score = record.score(metric)
    assert score is not None
    return score.value


@pytest.mark.parametrize("component", TASKS, ids=lambda c: c.name)
@pytest.mark.parametrize("method", [CoOp, RPP], ids=lambda c: c.name)
def test_every_built_in_task_passes_the_checks_for_tasks(
    component: type[Task], method: type[CoOp]
) -> None:
    check_task(component, method, Registry.load())
    assert component.paper


def test_the_registry_offers_exactly_these() -> None:
    assert list(Registry.load().all("tasks").values()) == [*TASKS, Segmentation, Detection]


def test_few_shot_learns_on_all_classes_of_each_set(models: Path) -> None:
    planned = plan(models, "few-shot")
    assert [cell.dataset for cell in planned] == ["toy-one", "toy-two"]
    for cell in planned:
        assert cell.training is not None
        assert (cell.training.source, cell.training.classes) == (cell.dataset, "all")
        assert cell.training.shots == 16
    (one, two) = plan(models, "few-shot", shots=(1, 2))[::2]
    assert one.training is not None
    assert two.training is not None
    assert (one.training.shots, two.training.shots) == (1, 2)
    assert one.comparability != two.comparability  # shots are part of the setting


def test_few_shot_scores_every_class(models: Path, tmp_path: Path) -> None:
    records, _ = run(models, tmp_path, plan(models, "few-shot", shots=(1,)))
    totals = [score.total for record in records for score in [record.score()] if score]
    assert totals == [14, 28]
    assert [record.metric for record in records] == ["top1", "top1"]


def test_base_to_new_scores_each_half_among_itself(models: Path, tmp_path: Path) -> None:
    planned = plan(models, "base-to-new")
    assert {cell.training.classes for cell in planned if cell.training} == {"base"}
    records, _ = run(models, tmp_path, planned)
    for record, images in zip(records, (2, 4), strict=True):
        base, new = record.score("base"), record.score("new")
        assert base is not None
        assert new is not None
        assert (base.total, new.total) == (4 * images, 3 * images)  # of seven classes
        assert record.metric == "harmonic_mean"
        assert value(record, "harmonic_mean") == pytest.approx(harmonic_mean(base.value, new.value))
        confidences = read_confidences(tmp_path, record)
        assert not isinstance(confidences, Problem)
        assert set(confidences) == {"base", "new"}
        for score, name in ((base, "base"), (new, "new")):
            outcomes = score.outcomes()
            assert outcomes is not None
            error = round(100 * calibration_error(confidences[name], outcomes), 2)
            assert error == value(record, f"{name}_ece")


def test_base_and_new_images_are_classified_among_all_classes_on_request(
    models: Path, tmp_path: Path
) -> None:
    usual = plan(models, "base-to-new")
    asked = Request(("context",), ("base-to-new:suite=toy,joint=on",), backbone="tiny")
    joint = cells(toy_registry(models), asked)
    assert "joint" not in dict(usual[0].task.options), "keys of before stay"
    assert {cell.training for cell in joint} == {cell.training for cell in usual}
    of_halves, _ = run(models, tmp_path, usual)
    of_joint, _ = run(models, tmp_path, joint)
    for halves, record in zip(of_halves, of_joint, strict=True):
        scores = {score.metric: score for score in record.scores}
        assert record.metric == "harmonic_mean"
        for score in halves.scores:
            assert scores[score.metric] == score
        base, new = scores["base_joint"], scores["new_joint"]
        assert scores["joint"].value == harmonic_mean(base.value, new.value)
        assert (base.total, new.total) == (scores["base"].total, scores["new"].total)
        assert base.value <= scores["base"].value, "more candidates"
        assert "base_joint_loss_gap" not in scores


def test_an_image_is_right_in_the_joint_space_if_its_class_is_best_of_all(
    models: Path, tmp_path: Path
) -> None:
    """Both halves together are the plain accuracy over all classes."""
    registry = toy_registry(models)
    names = ("base-to-new:suite=toy,joint=on", "cross-dataset:suite=toy")
    planned = cells(registry, Request(("fixed",), names, backbone="tiny", datasets=("toy-two",)))
    records, _ = run(models, tmp_path, planned)
    by_task = {r.cell.task.name: {s.metric: s for s in r.scores} for r in records}
    base, new = (by_task["base-to-new"][name] for name in ("base_joint", "new_joint"))
    every = by_task["cross-dataset"]["top1"]
    assert base.correct + new.correct == every.correct
    assert base.total + new.total == every.total
    assert [*base.outcomes(), *new.outcomes()] == every.outcomes(), "base classes come first"


def test_base_to_new_learns_on_the_first_half_alone(models: Path, tmp_path: Path) -> None:
    runner = ToyRunner(tmp_path, models=models, batch_size=20)
    runner(cell_groups(plan(models, "base-to-new", shots=(1,)))[0], lambda event: None)
    data = runner.resources.dataset("toy-one")
    assert isinstance(data, ToyOne)
    learned = {key.split("/")[1] for key in data.opened if key.startswith("train/")}
    assert learned == {"0", "1", "2", "3"}


def test_zero_shot_has_halves_too(models: Path, tmp_path: Path) -> None:
    records, _ = run(models, tmp_path, plan(models, "base-to-new", method="fixed"))
    assert all(record.cell.training is None for record in records)
    assert all(record.score("new") for record in records)


def test_a_harmonic_mean_is_low_where_either_is() -> None:
    assert harmonic_mean(69.34, 74.22) == pytest.approx(71.70, abs=0.005)  # CLIP's published row
    assert harmonic_mean(50.0, 50.0) == 50.0
    assert harmonic_mean(100.0, 0.0) == harmonic_mean(0.0, 0.0) == 0.0


def test_cross_domain_shares_the_training_of_cross_dataset(models: Path, tmp_path: Path) -> None:
    planned = plan(models, "cross-dataset", "cross-domain")
    assert [cell.dataset for cell in planned] == ["toy-one", "toy-two", "toy-shift"]
    assert len({cell.training.key for cell in planned if cell.training}) == 1
    assert len(cell_groups(planned)) == 1
    records, events = run(models, tmp_path, planned)
    assert len({event.key for event in events if event.phase == "train"}) == 1
    assert [record.cost.training_reused for record in records] == [False, True, True]


def test_fine_tuning_continues_from_the_pretrained_prompts(models: Path, tmp_path: Path) -> None:
    planned = plan(models, "fine-tune", shots=(1,))
    assert [cell.dataset for cell in planned] == ["toy-one", "toy-two"] * 2
    trainings = [cell.training for cell in planned if cell.training]
    assert [training.start is not None for training in trainings] == [True, True, False, False]
    (start,) = {training.start for training in trainings if training.start}
    assert (start.source, start.classes, start.start) == ("toy", "seen", None)
    assert [len(batch) for batch in cell_groups(planned)] == [2, 1, 1]  # one worker pretrains
    # The first cell runs the pretraining, the second starts from the same one.
    assert [entry.trainings for entry in survey(planned, Store(tmp_path))[0]] == [2, 1, 1, 1]
    records, _ = run(models, tmp_path, planned)
    assert [record.status for record in records] == ["ok"] * 4
    assert value(records[0], "top1") >= 0
    store = Store(tmp_path)
    assert store.training_path(start).is_file()
    (pretraining,) = plan(models, "pretraining")
    assert pretraining.training == start  # the prompts that the task `pretraining` scores
    # With a learning rate of zero the tuned prompts are the pretrained ones.
    still = (("recipe.lr", "0"), ("recipe.warmup_epochs", "0"))
    cell = plan(models, "fine-tune", shots=(1,), settings=still)[0]
    tuned = cell.training
    assert tuned is not None
    run(models, tmp_path, [cell])
    before = learned_parameters(store.training_path(start), start.key)
    after = learned_parameters(store.training_path(tuned), tuned.key)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("method", ["linear-probe", "tip-adapter"])
def test_supervision_of_a_method_without_steps_is_refused(method: str) -> None:
    """It would make a second row with the same numbers."""
    for option in ("kd=on", "sampled=16"):
        with pytest.raises(UsageError, match=f"{method}:{option} would change nothing"):
            cells(Registry.load(), Request((f"{method}:{option}",), ("few-shot",)))
    assert cells(Registry.load(), Request((f"{method}:kd=off",), ("few-shot",)))


def test_fresh_fine_tuning_is_the_training_of_few_shot(models: Path) -> None:
    fresh = [cell.training for cell in plan(models, "fine-tune") if cell.training][2:]
    assert fresh == [cell.training for cell in plan(models, "few-shot")]


def test_fine_tuning_can_score_base_and_new(models: Path, tmp_path: Path) -> None:
    planned = plan(models, "fine-tune", settings=(("protocol", "base-to-new"), ("shots", "1")))
    assert {cell.training.classes for cell in planned if cell.training} == {"base"}
    records, _ = run(models, tmp_path, planned)
    for record in records:
        both = harmonic_mean(value(record, "base"), value(record, "new"))
        assert value(record, "top1") == pytest.approx(both)


def test_pretrained_and_fresh_starts_are_two_rows(models: Path, tmp_path: Path) -> None:
    records, _ = run(models, tmp_path, plan(models, "fine-tune", shots=(1,)))
    (table,) = build(records)
    assert {row.label.split(" · ")[1] for row in table.rows} == {"start fresh", "start pretrained"}


def test_prompts_of_another_structure_are_no_start() -> None:
    # This recipe has depth 9; on the embedded world pretraining has depth 3.
    asked = Request(("rpp",), ("fine-tune",), recipe="rpp-tune-1")
    with pytest.raises(UsageError, match=r"'rpp' is pretrained with depth=3 .* depth=9"):
        cells(Registry.load(), asked)


@pytest.mark.parametrize(
    "method", ["coop", "cocoop", "kgcoop", "vpt", "ivlp", "maple", "promptsrc", "pomp", "rpp"]
)
def test_built_in_methods_train_once_for_both_source_tasks(method: str) -> None:
    """Their recipes do not depend on which of the two tasks runs."""
    asked = Request((method,), ("cross-dataset", "cross-domain"))
    planned = cells(Registry.load(), asked)
    assert len({cell.training.key for cell in planned if cell.training}) == 1
    assert {cell.task.name for cell in planned} == {"cross-dataset", "cross-domain"}


def test_tasks_that_learn_on_each_set_take_sixteen_shots() -> None:
    assert options(FewShot)["shots"] == options(BaseToNew)["shots"] == 16


def coop_suite(method: str, **request: Any) -> list[Cell]:
    asked = Request((method,), ("few-shot:suite=coop",), backbone="demo", **request)
    return cells(Registry.load(), asked)


@pytest.mark.parametrize("task", ["few-shot", "base-to-new"])
def test_the_coop_suite_has_eleven_sets_with_imagenet_first(task: str) -> None:
    asked = Request(("coop",), (f"{task}:suite=coop",), backbone="demo")
    registry = Registry.load()
    planned = cells(registry, asked)
    assert len(planned) == 11
    assert planned[0].dataset == "imagenet"
    assert all(cell.training and cell.training.source == cell.dataset for cell in planned)
    places = [int(labels(registry, cell)["dataset_order"]) for cell in planned]
    assert places == list(range(11))
    tuned = cells(registry, Request(("coop",), ("fine-tune:suite=coop",), backbone="demo"))
    transferred = cells(
        registry, Request(("coop",), ("cross-dataset:suite=coop",), backbone="demo")
    )
    for others in (tuned, transferred):
        assert len({cell.dataset for cell in others}) == 10, "there ImageNet is the source"


@pytest.mark.parametrize(("shots", "epochs"), [(1, 50), (2, 100), (4, 100), (8, 200), (16, 200)])
def test_coop_learns_few_shots_as_long_as_published(shots: int, epochs: int) -> None:
    by_dataset = {
        cell.dataset: dict(cell.training.recipe.options)["epochs"]
        for cell in coop_suite("coop", shots=(shots,))
        if cell.training
    }
    imagenet = by_dataset.pop("imagenet", None)
    assert imagenet in (None, 50)  # 50 at any number of shots
    assert set(by_dataset.values()) == {epochs}


def test_promptsrc_averages_late_on_the_sets_it_was_published_so_for() -> None:
    planned = coop_suite("promptsrc", seeds=(1,))
    means = {cell.dataset: cell.method["mean"] for cell in planned}
    late = {name for name, mean in means.items() if mean == 45.0}
    assert late == {"stanford_cars", "oxford_flowers", "fgvc_aircraft", "dtd", "eurosat"}
    assert {mean for name, mean in means.items() if name not in late} == {30.0}


def test_recipes_of_one_protocol_make_one_row_and_a_changed_one_another() -> None:
    registry = Registry.load()

    def records(planned: list[Cell]) -> list[Record]:
        return [
            Record(cell, "ok", "top1", (Score("top1", 50.0),), labels=labels(registry, cell))
            for cell in planned
        ]

    published = records(coop_suite("promptsrc", seeds=(1,)))
    changed = records(coop_suite("promptsrc", seeds=(1,), settings=(("recipe.lr", "0.01"),)))
    (table,) = build([*published, *changed])
    assert sorted(row.recipe for row in table.rows) == [
        "promptsrc-few-shot-1",
        "promptsrc-few-shot-1+lr=0.01",
    ]
    assert all(entry.is_complete for row in table.rows for entry in row.entries)
