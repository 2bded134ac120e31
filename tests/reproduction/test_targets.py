"""From published numbers to cells: the recipe, the shots and the source that the paper states."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rppbench.planning.input_digests import InputDigests
from rppbench.planning.plan import cells
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry
from rppbench.records.cell import recipe_name
from rppbench.reproduction.cards import card, goals
from rppbench.reproduction.targets import Target, all_cells, targets


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def aims_of(registry: Registry, name: str, *chosen: Sequence[str]) -> list[Target]:
    """The targets of a card; `chosen` are rows and data sets, all by default."""
    one = card(name)
    return targets(registry, one, goals(one, *chosen), one.seeds, "fp32", InputDigests(registry))


def of_card(registry: Registry, name: str, rows: Sequence[str] = ()) -> dict[str, Target]:
    """The targets of a card by 'row column'."""
    aims = aims_of(registry, name, rows)
    return {f"{aim.number.title} {aim.number.column}": aim for aim in aims}


def test_an_average_has_a_cell_for_each_data_set_and_seed(registry: Registry) -> None:
    target = of_card(registry, "maple:table3", ["MaPLe"])["MaPLe HM"]
    assert list(target.cells) == [1, 2, 3]
    for seed, of_seed in target.cells.items():
        assert sorted(cell.dataset for cell in of_seed) == sorted(target.number.over)
        assert len(of_seed) == 11
        for cell in of_seed:
            assert cell.training is not None
            assert (cell.seed, cell.training.seed) == (seed, seed)
            assert (cell.task.name, cell.task["suite"]) == ("base-to-new", "coop")
            assert cell.backbone == "ViT-B-16/openai"
            assert (cell.training.recipe.name, cell.training.shots) == ("maple-1", 16)
            assert (cell.training.source, cell.training.classes) == (cell.dataset, "base")


def test_the_cells_are_those_of_run(registry: Registry) -> None:
    """So that a folder with records of `run` is continued, and the other way round."""
    of_run = cells(
        registry,
        Request(
            methods=("maple",),
            tasks=("base-to-new:suite=coop",),
            datasets=("caltech101", "dtd"),
            backbone="ViT-B-16/openai",
            seeds=(1, 2, 3),
        ),
    )
    target = of_card(registry, "maple:table3", ["MaPLe"])["MaPLe base"]
    keys = {cell.key for of_seed in target.cells.values() for cell in of_seed}
    assert {cell.key for cell in of_run} <= keys
    assert len(of_run) == 6


def test_three_baselines_of_one_method_have_their_own_recipes(registry: Registry) -> None:
    aims = of_card(registry, "maple:table3")
    names = {
        title: {
            recipe_name(cell.training)
            for of_seed in aims[f"{title} base"].cells.values()
            for cell in of_seed
            if cell.training
        }
        for title in ("Deep language prompting", "Independent V-L prompting")
    }
    assert names == {
        "Deep language prompting": {"ivlp-language-1"},
        "Independent V-L prompting": {"ivlp-1"},
    }
    (clip,) = aims["CLIP base"].cells.values()  # deterministic: one seed
    assert {cell.method["template"] for cell in clip} == {"dataset"}
    assert len(clip) == 11


def test_a_number_of_one_seed_runs_that_seed(registry: Registry) -> None:
    aims = of_card(registry, "coop:caltech101")
    assert list(aims["CoOp seed 2"].cells) == [2]
    assert list(aims["CoOp mean"].cells) == [1, 2, 3]
    ((cell,),) = aims["CoOp seed 2"].cells.values()
    assert cell.training is not None
    assert (cell.method["length"], cell.method["init"]) == (16, "")
    assert (cell.backbone, cell.training.recipe.name) == ("RN50/openai", "coop-200-1")


def test_the_source_of_a_transfer_is_trained_by_the_recipe_of_the_transfer(
    registry: Registry,
) -> None:
    """The table prints ImageNet, too: as the training of the transfer, not of few-shot learning."""
    aims = of_card(registry, "cocoop:transfer", ["CoOp"])
    ((own,), *_) = aims["CoOp imagenet"].cells.values()
    ((other,), *_) = aims["CoOp dtd"].cells.values()
    assert own.training is not None
    assert other.training is not None
    assert own.task.name == "few-shot"
    assert own.training.recipe.name == other.training.recipe.name == "coop-transfer-1"
    assert own.training.source == other.training.source == "imagenet"


def test_shots_are_those_of_the_table(registry: Registry) -> None:
    aims = aims_of(registry, "tip-adapter:few-shot", ["Tip-F"], ["dtd"])
    shots = [cell.training.shots for cell in all_cells(aims) if cell.training]
    assert shots == [16, 8, 4, 2, 1]


@pytest.mark.parametrize(
    ("name", "number", "reason"),
    [
        ("kgcoop:readme", "ProGrad base", "no method of rppbench is known to be 'ProGrad'"),
        ("kgcoop:readme", "KgCoOp training time", "is a cost, which depends on the machine"),
        ("pomp:table1", "MaPLe ViT-B/16", "how it was trained is not known well enough"),
        ("pomp:table3", "POMP, K = 128 imagenet", "how it was trained is not known well enough"),
    ],
)
def test_what_cannot_be_run_says_why(
    registry: Registry, name: str, number: str, reason: str
) -> None:
    target = of_card(registry, name)[number]
    assert reason in target.reason
    assert not target.cells


def test_at_least_six_cards_run_every_number_of_a_method_that_is_here(registry: Registry) -> None:
    names = (
        *("coop:caltech101", "cocoop:base-to-new", "cocoop:transfer", "cocoop:shifts"),
        *("maple:table3", "maple:transfer", "promptsrc:transfer", "pomp:models"),
    )
    assert all(not aim.reason for name in names for aim in aims_of(registry, name))
