"""Numbers of the embedded world carry a warning wherever a person reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.records import complete_grid, grid_of, record

from rppbench.commands.conclusion import conclude
from rppbench.comparison.ablation import ablation
from rppbench.exporters.prompt_card import Card, readme
from rppbench.leaderboard.build import build, build_with_variants
from rppbench.planning.plan import cells
from rppbench.planning.request import Request
from rppbench.planning.status import Planned
from rppbench.plugins.registry import Registry
from rppbench.records import stand_in
from rppbench.records.cell import Choice
from rppbench.records.store import Store
from rppbench.reporting import ablation_page, markdown
from rppbench.reporting.site.files import site
from rppbench_datasets.world.models import backbones

WORDS = "nothing about photographs"


def test_the_names_are_those_of_the_installed_world() -> None:
    assert tuple(one.name for one in backbones()) == stand_in.BACKBONES
    suites = {
        name: one.suite
        for name, one in Registry.load().all("datasets").items()
        if one.__module__.startswith("rppbench_datasets")
    }
    named = {name for name in suites if stand_in.is_stand_in("", [name])}
    assert named == {name for name, suite in suites.items() if suite == "demo-2"} != set()


@pytest.mark.parametrize(
    ("backbone", "dataset", "warned"),
    [
        ("demo", "flowers", True),
        ("ViT-B-16/openai", "demo-2-animals", True),
        ("ViT-B-16/openai", "flowers", False),
    ],
)
def test_pages_of_the_embedded_world_warn_and_others_do_not(
    backbone: str, dataset: str, warned: bool, tmp_path: Path
) -> None:
    one = record(backbone=backbone, dataset=dataset)
    assert (WORDS in markdown.page(build([one]))) is warned
    files = site(build_with_variants([one]), tmp_path)
    for name in ("index.html", "compare.html", "cross-dataset.html"):
        assert (WORDS in files[name]) is warned, name
    assert stand_in.of_cell(one.cell) is warned


def test_a_training_on_drawings_counts_too() -> None:
    one = record(backbone="ViT-B-16/openai", dataset="flowers", source="demo-2-vocabulary")
    assert stand_in.of_cell(one.cell)
    assert not stand_in.of_cell(replace(one.cell, training=None))


def test_an_ablation_warns() -> None:
    report = ablation(*grid_of(complete_grid()))
    assert report is not None
    assert WORDS in ablation_page.page(report)


@pytest.mark.parametrize(("backbone", "warned"), [("demo", True), ("ViT-B-16/openai", False)])
def test_a_prompt_card_warns(backbone: str, warned: bool) -> None:
    card = Card(Choice("coop"), backbone, "digest", "fp32", "a photo of a {}.")
    assert (WORDS in readme(card)) is warned


def test_a_run_ends_with_the_warning_on_the_world_alone(
    toys: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    cells_of = Request(("fixed",), ("cross-dataset:suite=toy",), backbone="tiny")
    cell = cells(toys, cells_of)[0]
    for dataset, warned in (("toy-one", False), ("demo-2-clothing", True)):
        entry = Planned(replace(cell, dataset=dataset), "done", "none", 0, None)
        conclude([entry], [], [], Store(Path("runs")))
        assert (WORDS in capsys.readouterr().err) is warned
