"""Methods with logits of their own in complete commands: plan, run, export and predict."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.commands import (
    RunCommand,
    json_lines,
    predict_test_images,
    refused,
    save_test_images,
)

from rppbench import hookimpl
from rppbench.contracts.fitted import Examples
from rppbench.contracts.method import Method
from rppbench.contracts.task import Assignment
from rppbench.planning.vocabulary import learns_all_scored_classes
from rppbench.plugins.registry import Registry
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench_methods.clip_adapter import CLIPAdapter
from rppbench_methods.gda import GDA
from rppbench_methods.linear_probe import LinearProbe
from rppbench_methods.promptkd import PromptKD
from rppbench_methods.taskres import TaskRes
from rppbench_methods.tip_adapter import TipAdapter, TipAdapterF

NAMES = "red square,green field,blue lake,yellow sun,grey stone,white snow,black cat"
FEW_SHOT = ("--task", "few-shot:suite=toy", "--model", "tiny", "--dataset", "toy-one")
ONE_VIEW = ("--set", "recipe.augment=none")
CASES = {
    "linear-probe": (),
    "tip-adapter": ("--set", "method.views=1", *ONE_VIEW),
    "tip-adapter-f": ("--set", "method.views=1", "--set", "recipe.epochs=2", *ONE_VIEW),
    "gda": ("--set", "method.views=1", *ONE_VIEW),
    "taskres": ("--set", "recipe.epochs=2", *ONE_VIEW),
    "clip-adapter": ("--set", "recipe.epochs=2", *ONE_VIEW),
    "promptkd": ("--teacher", "tiny", "--set", "method.depth=3", "--set", "recipe.epochs=2"),
}


class More:
    @hookimpl
    def rppbench_methods(self) -> list[type[Method]]:
        return [LinearProbe, TipAdapter, TipAdapterF, GDA, TaskRes, CLIPAdapter, PromptKD]


MORE = More()


def records() -> list[Record]:
    return Store(Path("runs")).all()[0]


@pytest.mark.parametrize("name", CASES)
def test_what_is_exported_predicts_as_the_benchmark_scored(
    run_command: RunCommand, name: str
) -> None:
    status, _, complaints = run_command("run", "--method", name, *FEW_SHOT, *CASES[name])
    assert status == 0, complaints
    (record,) = records()
    status, _, complaints = run_command("export", record.key, "--to", "mine")
    assert status == 0, complaints
    right, answers = predict_test_images(run_command, NAMES)
    score = record.score("top1")
    assert score is not None
    assert right == score.correct
    assert all(0 < guess["probability"] <= 1 for guess in answers[0]["classes"])


@pytest.mark.parametrize("name", ["linear-probe", "tip-adapter", "gda", "taskres"])
def test_learned_classes_can_be_asked_for_in_any_order_and_no_others(
    run_command: RunCommand, name: str
) -> None:
    run_command("run", "--method", name, *FEW_SHOT, *CASES[name])
    run_command("export", records()[0].key, "--to", "mine")
    paths, _ = save_test_images()

    def shares(names: str) -> dict[str, float]:
        words = ("--prompt", "mine", "--classes", names, "--json", paths[0])
        (entry,) = json_lines(run_command("predict", *words)[1])
        return {guess["name"]: guess["probability"] for guess in entry["classes"]}

    one, two = shares("black cat,red square,blue lake"), shares("blue lake,red square,black cat")
    assert one == pytest.approx(two, rel=1e-4)
    complaints = refused(
        run_command, "predict", "--prompt", "mine", "--classes", "red square,dog", paths[0]
    )
    assert "'dog'" in complaints


def test_a_second_run_finds_what_was_fitted(run_command: RunCommand) -> None:
    request = ("run", "--method", "linear-probe", "tip-adapter", *FEW_SHOT)
    request = (*request, "--set", "method.views=1", *ONE_VIEW)
    run_command(*request)
    first = {record.key: record.measured() for record in records()}
    for path in Path("runs/records").rglob("*.json"):
        path.unlink()
    run_command(*request)
    again = {record.key: record for record in records()}
    assert {key: record.measured() for key, record in again.items()} == first
    assert all(record.cost.training_reused for record in again.values())


@pytest.mark.parametrize("task", ["cross-dataset", "base-to-new", "pretraining"])
def test_tasks_with_other_classes_are_left_out_and_named(
    run_command: RunCommand, task: str
) -> None:
    words = ("plan", "--task", f"{task}:suite=toy", "--model", "tiny")
    status, table, complaints = run_command(*words, "--method", "linear-probe", "fixed")
    assert status == 0
    assert f"linear-probe cannot run {task} (toy" in complaints
    assert "linear-probe" not in table
    assert "fixed" in table
    alone = refused(run_command, *words, "--method", "tip-adapter")
    assert "it knows only the classes that it learned" in alone


def test_shifts_of_learned_classes_are_no_other_classes(toys: Registry) -> None:
    assert learns_all_scored_classes(toys, Assignment("toy-shift", "toy", "all"))
    seen = Assignment("toy-shift", "toy", "seen")  # two classes are held out
    assert not learns_all_scored_classes(toys, seen)
    pretrained = Assignment("toy-shift", "toy", "all", start="toy-one")
    assert not learns_all_scored_classes(toys, pretrained)


def test_a_bad_fit_stops_the_cell_with_its_loss(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((7, 32), torch.nan), torch.zeros(7)

    monkeypatch.setattr("rppbench_methods.linear_probe.logistic", broken)
    assert run_command("run", "--method", "linear-probe", *FEW_SHOT)[0] == 1
    (record,) = records()
    assert record.failure is not None
    assert record.failure.kind == "nan"
    assert "weight nan" in record.failure.message


@pytest.mark.parametrize(("validation", "images"), [("none", 0), ("few-shot", 7), ("full", 14)])
def test_a_method_searches_on_the_validation_images_that_its_recipe_names(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch, validation: str, images: int
) -> None:
    seen: list[Examples] = []
    monkeypatch.setattr(LinearProbe, "finish", lambda self, examples: seen.append(examples))
    given = ("--set", f"recipe.validation={validation}", "--shots", "1")
    status, _, complaints = run_command("run", "--method", "linear-probe", *FEW_SHOT, *given)
    assert status == 0, complaints
    (examples,) = seen
    assert (len(examples.val_images), len(examples.labels)) == (images, 7)


def test_a_held_out_shot_is_searched_on_and_not_learned_from(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Examples] = []
    monkeypatch.setattr(LinearProbe, "finish", lambda self, examples: seen.append(examples))
    given = ("--set", "recipe.validation=held-out-shot", "--shots", "2")
    status, _, complaints = run_command("run", "--method", "linear-probe", *FEW_SHOT, *given)
    assert status == 0, complaints
    assert "fewer than" not in complaints
    (examples,) = seen
    assert (len(examples.val_images), len(examples.labels)) == (7, 7)
    assert sorted(examples.val_labels.tolist()) == list(range(7))
    (record,) = records()
    assert set(record.contents) >= {"toy-one:shots", "toy-one:val shots"}
