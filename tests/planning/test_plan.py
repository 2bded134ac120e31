"""From a request to cells: which backbone and which teacher are taken where none is named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.toy_data import Things

from rppbench.contracts.backbone import Backbone
from rppbench.errors import UsageError
from rppbench.planning.plan import cells, usual_teacher
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell


@pytest.fixture
def registry() -> Registry:
    return Registry.load()


def test_without_a_name_the_default_backbone_runs(registry: Registry) -> None:
    asked = Request(("zeroshot",), ("cross-dataset",))
    default = registry.default_backbone().name
    planned = cells(registry, asked)
    assert {cell.backbone for cell in planned} == {default}
    named = cells(registry, replace(asked, backbone=default))
    assert [cell.key for cell in planned] == [cell.key for cell in named]


def test_a_plugin_says_which_teacher_its_backbone_has(registry: Registry) -> None:
    default = registry.default_backbone()
    assert usual_teacher(registry, default.name) == default.teacher != ""
    assert usual_teacher(registry, default.teacher) == default.teacher, "it teaches itself"
    alone = Backbone("alone", "Alone", Path(), Path(), "")
    registry.all("backbones")["alone"] = alone
    assert usual_teacher(registry, "alone") == "alone"


@pytest.mark.parametrize(
    ("backbone", "teacher"),
    [
        ("ViT-B-16/openai", "ViT-L-14/openai"),
        ("ViT-L-14/openai", "ViT-L-14/openai"),
        ("ViT-B-16/laion2b_s34b_b88k", "ViT-B-16/laion2b_s34b_b88k"),
    ],
)
def test_openai_models_have_their_largest_as_teacher(
    registry: Registry, backbone: str, teacher: str
) -> None:
    assert usual_teacher(registry, backbone) == teacher


def test_epochs_of_a_method_without_training_steps_are_left_out_with_a_note(
    registry: Registry,
) -> None:
    def planned(*settings: tuple[str, str]) -> list[Cell]:
        names = (("tip-adapter", "coop"), ("few-shot",))
        counted = (("recipe.steps", "0"), *settings)
        request = Request(*names, datasets=("demo-2-clothing",), settings=counted)
        return cells(registry, request, warn=notes.append)

    notes: list[str] = []
    usual, changed = planned(), planned(("recipe.epochs", "2"))
    assert [one == two for one, two in zip(usual, changed, strict=True)] == [True, False]
    assert notes[-1:] == [
        "recipe.epochs is left out for tip-adapter: it is fitted in one go, without training steps"
    ]


def test_epochs_of_a_recipe_that_counts_steps_are_left_out_with_a_note(registry: Registry) -> None:
    def planned(*settings: tuple[str, str]) -> Cell:
        names = (("coop",), ("few-shot:suite=demo-2",))
        request = Request(*names, datasets=("demo-2-media",), settings=settings)
        (cell,) = cells(registry, request, warn=notes.append)
        return cell

    notes: list[str] = []
    usual = planned()
    assert planned(("recipe.epochs", "2")) == usual
    assert notes == [
        "recipe.epochs is left out for coop: coop-demo-2-few-1 counts steps (steps=200); "
        "recipe.steps=0 beside it makes epochs count"
    ]
    assert planned(("recipe.epochs", "2"), ("recipe.steps", "0")) != usual


def test_a_method_that_searches_nothing_has_no_validation_with_a_note(registry: Registry) -> None:
    def planned(*settings: tuple[str, str], shots: int = 4) -> list[Cell]:
        request = Request(
            ("tip-adapter", "coop"),
            ("few-shot",),
            datasets=("demo-2-clothing",),
            shots=(shots,),
            settings=settings,
        )
        return cells(registry, request, warn=notes.append)

    notes: list[str] = []
    usual, same = planned(), planned(("recipe.validation", "few-shot"))
    assert [cell.key for cell in usual] == [cell.key for cell in same]
    notes.clear()
    changed = planned(("validation", "full"))
    assert notes == [
        "recipe.validation is left out for coop: it chooses nothing on validation images"
    ]
    assert [one == two for one, two in zip(usual, changed, strict=True)] == [False, True]
    with pytest.raises(UsageError, match="held-out-shot needs two shots or more"):
        planned(("validation", "held-out-shot"), shots=1)
    with pytest.raises(UsageError, match="complete"):
        planned(("validation", "complete"))


DATA_PAGE = Path(__file__).parents[2] / "datasets" / "README.md"
DENSE = {
    "detection:suite=coop": "lvis",
    "detection:suite=minival": "lvis_minival",
    "segmentation:suite=coop": "voc2012",
    "segmentation:suite=background": "voc2012_background",
}
"""The tasks that the page of data sets gives for label maps and boxes, each with one data set."""


def test_the_page_gives_these_tasks() -> None:
    text = DATA_PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:detection|segmentation):suite=\w+", text)) == set(DENSE)


@pytest.mark.parametrize(("task", "name"), DENSE.items())
def test_documented_dense_tasks_are_planned_by_suite_and_by_data_set(
    registry: Registry, task: str, name: str
) -> None:
    alone, _, _ = task.partition(":")
    for method, source in (("zeroshot", None), ("coop", "imagenet"), ("pomp", "imagenet21k")):
        of_suite = cells(registry, Request((method,), (task,)))
        (named,) = cells(registry, Request((method,), (alone,), datasets=(name,)))
        assert named.key in {cell.key for cell in of_suite}
        assert {cell.training and cell.training.source for cell in of_suite} == {source}


def test_a_suite_shares_its_trainings_with_the_suite_whose_sources_it_names(
    registry: Registry,
) -> None:
    (coop,) = cells(registry, Request(("pomp",), ("detection:suite=coop",), datasets=("lvis",)))
    (minival,) = cells(registry, Request(("pomp",), ("detection:suite=minival",)))
    assert coop.training is not None
    assert coop.training == minival.training


def test_only_a_method_that_learns_needs_a_source(registry: Registry) -> None:
    alone = type("Alone", (Things,), {"name": "alone", "suite": "alone"})
    registry.all("datasets")["alone"] = alone
    for task in ("detection:suite=alone", "detection:suite=alone,tune=on"):
        (cell,) = cells(registry, Request(("zeroshot",), (task,)))
        assert (cell.dataset, cell.training) == ("alone", None)
    asked = Request(("zeroshot",), ("detection",), datasets=("alone",))
    assert [dict(cell.task.options)["suite"] for cell in cells(registry, asked)] == ["alone"]
    with pytest.raises(UsageError, match=r"'alone' has no source .* source=NAME"):
        cells(registry, replace(asked, methods=("coop",)))
    with pytest.raises(UsageError, match="no suite is named 'alon'; did you mean 'alone'"):
        cells(registry, Request(("zeroshot",), ("detection:suite=alon",)))
