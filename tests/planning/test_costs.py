"""Estimates of cost: by hand, and the table in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rppbench.cli import main
from rppbench.files.digests import read_json
from rppbench.models.identity import model_configs
from rppbench.models.loading import build
from rppbench.planning.costs import seconds
from rppbench.planning.costs.operations import Cost, Operations, _towers, estimate, transformers
from rppbench.planning.input_digests import InputDigests
from rppbench.planning.plan import cells
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Choice

IMAGE, TEXT = 35.12690688, 5.959540736 * 16 / 77
"""GFLOP of ViT-B/16 for an image and for a text of 16 tokens."""
DOCS = Path(__file__).parents[2] / "docs" / "reproduce.md"


def cost(*methods: str, dataset: str = "eurosat", task: str = "base-to-new") -> Cost:
    registry = Registry.load()
    request = Request(
        methods=methods,
        tasks=(f"{task}:suite=coop",),
        datasets=(dataset,),
        backbone="ViT-B-16/openai",
    )
    return estimate(registry, cells(registry, request, InputDigests(registry)))


def test_learned_text_and_frozen_images() -> None:
    """KgCoOp on EuroSAT: 5 classes of 16 images, all in one batch, 100 epochs."""
    own = cost("kgcoop")
    assert (own.cells, own.trainings) == (1, 1)
    assert (own.train_images, own.test_images) == (8000, 8100)
    train = 8000 * IMAGE + 100 * 5 * TEXT * 2
    assert own.operations == pytest.approx(1e9 * (train + 8100 * IMAGE + 10 * TEXT))
    assert own.hours == pytest.approx(own.operations / 3.6e16)


def test_prompted_images_are_run_backward_and_conditional_text_for_each_image() -> None:
    prompted, conditional = cost("maple"), cost("cocoop")
    steps = 5 * 20  # MaPLe: batches of 4
    train = steps * (4 * IMAGE * 2 + 5 * TEXT * 2)
    assert prompted.operations == pytest.approx(1e9 * (train + 8100 * IMAGE + 10 * TEXT))
    steps = 10 * 80  # CoCoOp: one image a step
    train = steps * (IMAGE + 5 * TEXT * 2)
    assert conditional.operations == pytest.approx(1e9 * (train + 8100 * (IMAGE + 10 * TEXT)))


def test_a_plan_knows_conditional_text_without_building_the_method() -> None:
    assert Operations(Registry.load(), build=False).parts(Choice("cocoop")).conditional


def test_the_speed_of_a_cpu_is_that_of_one_thread_times_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = set()

    def multiply(_: torch.Tensor) -> float:
        used.add(torch.get_num_threads())
        return 0.001

    monkeypatch.setattr(seconds, "_multiply", multiply)
    monkeypatch.setattr(seconds, "MEASURED_SECONDS", 0.0)
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            alone = seconds.SHARE * 2 * seconds.SIDE["cpu"] ** 3 / 0.001
            assert seconds.speed("cpu") == pytest.approx(threads * alone)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert used == {1}


def test_features_of_frozen_images_count_once() -> None:
    one, two = cost("zeroshot"), cost("zeroshot", "zeroshot:template=single")
    assert (one.test_images, two.test_images) == (8100, 8100)
    assert two.operations - one.operations == pytest.approx(1e9 * 10 * TEXT)


def test_an_unknown_size_gives_no_estimate() -> None:
    """The size of a data set is known where it is published or opened."""
    registry = Registry.load()
    request = Request(("zeroshot",), ("few-shot",), ("demo-2-media",), "demo")
    digests = InputDigests(registry)
    planned = cells(registry, request, digests)
    assert not estimate(registry, planned).known
    work = Operations(registry, digests.datasets).of_scoring(planned[0])
    data = digests.datasets["demo-2-media"]
    assert work.images == len(data.samples("test"))
    config = read_json(registry.all("backbones")["demo"].config)
    tower = transformers(config)
    passes = work.images * tower["image"] + len(data.classes) * tower["text"] * 16 / 77
    assert work.operations == pytest.approx(1e9 * passes)


def test_the_documentation_has_the_table_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "costs"]) == 0
    table = capsys.readouterr().out
    assert table.count("\n") >= 2 + 6
    assert table in DOCS.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*_towers(), "ViT-B-16", "ViT-L-14"])
def test_the_operations_of_a_tower_are_what_torch_counts(name: str) -> None:
    config = read_json(model_configs()[name])
    with torch.device("meta"):
        model = build(config)
        size = config["vision_cfg"]["image_size"]
        with FlopCounterMode(display=False) as image:
            model.encode_image(torch.zeros(1, 3, size, size))
        with FlopCounterMode(display=False) as text:
            model.encode_text(torch.ones(1, 77, dtype=torch.long))
    counted = {"image": image.get_total_flops() / 1e9, "text": text.get_total_flops() / 1e9}
    known = _towers().get(name) or transformers(config)
    assert {tower: round(number, 2) for tower, number in known.items()} == {
        tower: round(number, 2) for tower, number in counted.items()
    }
