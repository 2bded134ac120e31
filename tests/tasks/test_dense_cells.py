"""Complete cells of detection and segmentation: large images, no proposals, ids with gaps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.toy_data import Maps, Things
from support.toy_plugin import ToyPlugin, registry_of
from support.toy_runner import ToyRunner

from rppbench import hookimpl
from rppbench.execution.peak_memory import peak_bytes, reset_peak
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.records.cell import Cell
from rppbench.records.record import Record


class HugeThings(Things):
    name, pixels, count = "toy-huge-things", (6000, 4000), 1


class HugeMaps(Maps):
    name, pixels, count = "toy-huge-maps", (6000, 4000), 1


class Plugin:
    @hookimpl
    def rppbench_datasets(self) -> list[type[Things]]:
        return [Things, HugeThings, HugeMaps]


Run = Callable[..., tuple[list[Cell], list[Record], ToyRunner]]


@pytest.fixture
def run(models: Path, tmp_path: Path) -> Run:
    """Runs a task with methods on one of the data sets; each call has a new runner."""

    def go(task: str, dataset: str, *methods: str) -> tuple[list[Cell], list[Record], ToyRunner]:
        registry = registry_of(toys=ToyPlugin(models), more=Plugin())
        asked = Request(methods or ("fixed",), (task,), datasets=(dataset,), backbone="tiny")
        planned = cells(registry, asked)
        runner = ToyRunner(tmp_path / "runs", models=models, batch_size=20)
        runner.resources.registry = registry
        for batch in cell_groups(planned):
            runner(batch, lambda event: None)
        records = [runner.store.read(cell) for cell in planned]
        return planned, [record for record in records if record], runner

    return go


def values(record: Record) -> dict[str, float]:
    assert record.failure is None, record.failure
    return {score.metric: score.value for score in record.scores}


def test_fixed_and_learned_prompts_are_scored_with_regions(run: Run) -> None:
    methods = ("fixed", "context", "context:both=on")
    _, records, runner = run("detection:suite=toy", "toy-things", *methods)
    assert len(records) == 3
    for record in records:
        scores = values(record)
        assert record.metric == "AP50"
        assert {"AP50", "AP", "AP50_seen", "AP50_unseen"} <= set(scores)
        assert all(0 <= value <= 100 for value in scores.values())
    assert len(list((runner.output / "cache").rglob("*.npz"))) == 3, "each image's boxes are stored"


def test_nothing_frozen_is_computed_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from rppbench_tasks.proposing.regions import Regions

    run("detection:suite=toy", "toy-things", "fixed")
    asked: list[str] = []
    monkeypatch.setattr(Regions, "find", lambda self, sample, image: asked.append(sample.key))
    _, (record,), runner = run("detection:suite=toy,temperature=40", "toy-things", "fixed")
    values(record)
    assert asked == []
    assert runner.resources.load("tiny", "fp32").image.images_encoded == 0


def test_no_proposals_find_nothing_and_true_ones_of_a_file_find_all(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "boxes.json"
    path.write_text("[]")
    task = f"detection:suite=toy,proposals=file,path={path}"
    (before,), (empty,), _ = run(task, "toy-things")
    assert values(empty)["AP50"] == 0
    data = Things()
    entries = [
        {"image_id": number, "category_id": 90, "bbox": list(box), "score": 0.9}
        for number in data.image_ids("test")
        for box in data.boxes()
    ]
    path.write_text(json.dumps(entries))
    (after,), (full,), _ = run(task, "toy-things")
    assert before.key != after.key, "another file is another cell"
    assert before.task == after.task
    _, (true,), _ = run("detection:suite=toy,proposals=true", "toy-things")
    scores = values(true)
    assert values(full)["AP50"] == pytest.approx(scores["AP50"])
    assert 0 <= scores["true_boxes"] <= 100


def test_proposals_that_are_not_there_block_their_cell_only(run: Run, tmp_path: Path) -> None:
    gone = tmp_path / "gone.json"
    (cell,), (record,), _ = run(f"detection:suite=toy,proposals=file,path={gone}", "toy-things")
    assert ("files of detection", "missing") in cell.inputs
    assert record.failure is not None
    assert "gone.json" in record.failure.message


def test_a_detector_of_transformers_proposes_boxes_in_a_cell(run: Run, tmp_path: Path) -> None:
    tiny = pytest.importorskip("support.tiny_proposers")
    folder = tiny.detr(tmp_path / "detr")
    (cell,), (record,), _ = run(
        f"detection:suite=toy,proposals=transformers,path={folder}", "toy-things"
    )
    values(record)
    assert len(dict(cell.inputs)["proposals"]) == 32


def resident() -> int:
    """Bytes that this process holds: earlier tests may have left some."""
    reset_peak("cpu")
    return peak_bytes("cpu")


@pytest.mark.parametrize("head", ["proposals", "dense"])
def test_a_huge_image_is_segmented_in_bounded_memory(run: Run, head: str) -> None:
    before = resident()
    _, (record,), _ = run(f"segmentation:suite=toy,head={head},long=1024", "toy-huge-maps")
    values(record)
    assert record.cost.peak_bytes < before + 1.5 * 2**30


def test_objects_of_a_huge_image_are_found_in_bounded_memory(run: Run) -> None:
    before = resident()
    _, (record,), _ = run("detection:suite=toy", "toy-huge-things", "context:both=on")
    values(record)
    assert record.cost.peak_bytes < before + 1.5 * 2**30
