"""Methods with adapters and class-aware text in complete commands: every task, export, predict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from support.commands import RunCommand, json_lines, predict_test_images, refused
from support.tiny import make_tiny_clip
from support.toy_data import Toy

from rppbench import hookimpl
from rppbench.contracts.dataset import Dataset
from rppbench.contracts.method import Method
from rppbench.plugins.registry import Registry
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench_methods.clip_lora import CLIPLoRA
from rppbench_methods.gda import GDA
from rppbench_methods.mma import MMA
from rppbench_methods.taskres import TaskRes
from rppbench_methods.tcp import TCP

NAMES = "red square,green field,blue lake,yellow sun,grey stone,white snow,black cat"
QUICK = {
    "clip-lora": ("--set", "recipe.steps_per_shot=2", "--set", "recipe.batch=4"),
    "mma": ("--set", "method.depth=2", "--set", "recipe.epochs=1"),
    "tcp": ("--set", "method.layer=2", "--set", "recipe.epochs=1"),
}
TASKS = {
    "few-shot": ("toy-one",),
    "base-to-new": ("toy-one",),
    "cross-dataset": ("toy-one",),
    "cross-domain": ("toy-shift",),
    "pretraining": ("toy",),
    "fine-tune": ("toy-one",),
}


class ToyPets(Toy):
    """Its template has words behind the name."""

    name, title, role = "toy-pets", "Toy pets", "transfer"
    template = "a photo of a {}, a type of pet."
    images_a_class = 2


class More:
    @hookimpl
    def rppbench_methods(self) -> list[type[Method]]:
        return [CLIPLoRA, MMA, TCP, GDA, TaskRes]

    @hookimpl
    def rppbench_datasets(self) -> list[type[Dataset]]:
        return [ToyPets]


MORE = More()


def records() -> list[Record]:
    return Store(Path("runs")).all()[0]


def learned(run_command: RunCommand, name: str, task: str, *datasets: str) -> Record:
    words = ("run", "--method", name, "--task", f"{task}:suite=toy", "--model", "tiny")
    status, _, log = run_command(*words, "--dataset", *datasets, *QUICK[name])
    assert status == 0, log
    assert all(record.status == "ok" for record in records())
    return records()[0]


@pytest.mark.parametrize(
    ("name", "task"),
    # CLIP-LoRA's pretraining takes the 8,000 steps of its recipe, which a run does not shorten.
    [
        (name, task)
        for name in QUICK
        for task in TASKS
        if (name, task) != ("clip-lora", "fine-tune")
    ],
)
def test_they_run_in_every_task(run_command: RunCommand, name: str, task: str) -> None:
    record = learned(run_command, name, task, *TASKS[task])
    assert record.cost.parameters > 0


@pytest.mark.parametrize("name", QUICK)
def test_what_is_exported_predicts_as_the_benchmark_scored(
    run_command: RunCommand, name: str
) -> None:
    """On a set whose template has words behind the name: the card keeps the template."""
    record = learned(run_command, name, "few-shot", "toy-pets")
    status, _, log = run_command("export", record.key, "--to", "mine")
    assert status == 0, log
    right, _ = predict_test_images(run_command, NAMES)
    score = record.score("top1")
    assert score is not None
    assert right == score.correct
    other = ("--prompt", "mine", "--classes", "dog,zebra", "--json", "0.png")
    status, printed, log = run_command("predict", *other)
    assert status == 0, log
    assert sum(guess["probability"] for guess in json_lines(printed)[0]["classes"]) > 0.99


@pytest.mark.parametrize("name", QUICK)
def test_their_classifier_is_exported_for_any_vocabulary(
    run_command: RunCommand, name: str
) -> None:
    record = learned(run_command, name, "cross-dataset", "toy-one")
    run_command("export", record.key, "--to", "mine")
    Path("names.json").write_text(json.dumps(["dog", "zebra", "red square"]))
    words = ("--prompt", "mine", "--vocabulary", "names.json", "--to", "plain")
    status, _, log = run_command("export-classifier", *words, "--format", "plain")
    assert status == 0, log
    with safe_open("plain/classifier.safetensors", "pt") as file:
        features = file.get_tensor("features")
    assert features.shape == (3, 32)
    frozen = make_tiny_clip().text.encode_templates(["dog", "zebra", "red square"], ["{}."])
    assert (torch.nn.functional.normalize(features, dim=1) - frozen).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["gda", "taskres"])
@pytest.mark.parametrize("task", ["cross-dataset", "base-to-new", "pretraining"])
def test_heads_leave_out_tasks_with_other_classes(
    run_command: RunCommand, name: str, task: str
) -> None:
    words = ("plan", "--task", f"{task}:suite=toy", "--model", "tiny", "--method", name)
    assert "it knows only the classes that it learned" in refused(run_command, *words)


def test_supervision_of_gda_is_refused_and_that_of_adapters_is_not() -> None:
    from rppbench.errors import UsageError
    from rppbench.planning.plan import cells
    from rppbench.planning.request import Request

    with pytest.raises(UsageError, match="gda:kd=on would change nothing"):
        cells(Registry.load(), Request(("gda:kd=on",), ("few-shot",)))
    for name in ("clip-lora", "mma", "tcp", "taskres"):
        assert cells(Registry.load(), Request((f"{name}:kd=on",), ("few-shot",)))
