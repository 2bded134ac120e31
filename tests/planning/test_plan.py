"""From a request to cells: which backbone and which teacher are taken where none is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

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
