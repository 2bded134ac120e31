"""RPP on all 10,450 classes of ImageNet-21K: one training, and all that is scored with it.

Pictures and towers are tiny; class names, folders and commands are those of the real data.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from support.roots import coop_root
from support.toy_data import Maps, Things
from support.toy_plugin import PluginOf, ToyPlugin, registry_of, save_tiny
from support.toy_runner import ToyRunner

import rppbench_datasets
import rppbench_methods
from rppbench.contracts.dataset import Dataset
from rppbench.data.few_shot import few_shot
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.records.cell import Cell
from rppbench.records.record import SEEN_NAMES, Record
from rppbench_datasets.imagenet21k import FOLDER, TRAIN, VAL, WINTER21, _table
from rppbench_methods import rpp

CLASSES = 10_450
SECONDS = 600
"""Bound of the processor time of all of it."""
RPP = "rpp:depth=3,length=2"
SHORT = {
    "steps_per_shot": 3,
    "warmup_epochs": 0,
    "batch": 32,
    "shots": 1,
    "shards": 1,
    "views": 1,
    "augment": "none",
}
"""What all recipes of RPP are changed to: settings of a request do not reach the pretraining."""
TRANSFER = {name for name, kind in coop_root.KINDS.items() if kind.role == "transfer"}
SHIFTS = {name for name, kind in coop_root.KINDS.items() if kind.role == "shift"}


def write_tree(root: Path) -> None:
    """One image of 32 x 32 pixels for each class and part, in 64 shades."""
    shades = []
    for number in range(64):
        path = root / f"shade{number}.jpg"
        Image.new("RGB", (32, 32), (4 * number, 255 - 4 * number, 90)).save(path)
        shades.append(path.read_bytes())
    for part in (TRAIN, VAL):
        for number, wnid in enumerate(_table(WINTER21)):
            folder = root / FOLDER / part / wnid
            folder.mkdir(parents=True)
            (folder / f"{wnid}_1.JPEG").write_bytes(shades[number % 64])


def write_shots(data: Dataset) -> None:
    """Write those images of the draw that the small tree lacks."""
    for sample in few_shot(data.samples("train"), 1, 1):
        path = data.file(sample)
        assert path is not None
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 24), (sample.label % 256, 90, 60)).save(path)


@pytest.mark.slow
def test_all_of_rpp_from_one_pretraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.process_time()
    root, models = tmp_path / "root", tmp_path / "models"
    root.mkdir()
    for name in sorted(TRANSFER | SHIFTS | {"imagenet"}):
        coop_root.make(root, name, monkeypatch)
    write_tree(root)
    save_tiny(models)
    save_tiny(models, "teacher", seed=3)
    learning = rpp.RPP.learning
    assert learning is not None
    recipes = tuple(replace(recipe, **SHORT) for recipe in learning.recipes)  # type: ignore[arg-type]
    monkeypatch.setattr(rpp.RPP, "learning", replace(learning, recipes=recipes))
    registry = registry_of(
        toys=ToyPlugin(models),
        dense=PluginOf([], [Things, Maps]),
        methods=rppbench_methods,
        datasets=rppbench_datasets,
    )
    runner = ToyRunner(tmp_path / "runs", models=models, batch_size=64)
    runner.resources.registry = registry

    def run(*tasks: str, datasets: tuple[str, ...] = ()) -> dict[Cell, Record]:
        asked = Request((RPP,), tasks, datasets, "tiny", "teacher", shots=(1,), limit=20)
        planned = cells(registry, asked)
        for group in cell_groups(planned):
            runner(group, lambda event: None)
        records = {cell: runner.store.read(cell) for cell in planned}
        for cell, record in records.items():
            assert record is not None
            assert record.failure is None, (cell.task.name, cell.dataset, record.failure)
        return {cell: record for cell, record in records.items() if record is not None}

    (pretraining,) = run("pretraining:suite=coop").items()
    learned = pretraining[0].training
    assert learned is not None
    assert (learned.source, learned.classes, learned.shots) == ("imagenet21k", "seen", 1)
    assert learned.teacher == "teacher"
    assert len(registry.get("datasets", "imagenet21k")().classes) == CLASSES
    assert pretraining[1].cost.steps == 3
    assert not pretraining[1].cost.training_reused

    source = "source=imagenet21k"
    scored = {
        **run(f"cross-dataset:suite=coop,{source}"),
        **run(f"cross-domain:suite=coop,{source}"),
        **run(f"segmentation:suite=toy,{source}", datasets=("toy-maps",)),
        **run(f"detection:suite=toy,{source}", datasets=("toy-things",)),
    }
    assert {cell.dataset for cell in scored} == TRANSFER | SHIFTS | {"toy-maps", "toy-things"}
    for cell, record in scored.items():
        assert cell.training == learned, cell.dataset
        assert record.cost.training_reused
        seen, total = map(int, record.labels[SEEN_NAMES].split("/"))
        assert 0 <= seen <= total == len(registry.get("datasets", cell.dataset)().classes)
    names = {cell.dataset: record.labels[SEEN_NAMES] for cell, record in scored.items()}
    assert int(names["imagenetv2"].split("/")[0]) > 0, "the tench is a class of ImageNet-21K"

    for name in sorted(TRANSFER):
        write_shots(registry.get("datasets", name)())
    tuned = run("fine-tune:suite=coop")
    starts = Counter((cell.training.start is not None) for cell in tuned if cell.training)
    assert starts == {True: len(TRANSFER), False: len(TRANSFER)}
    for cell in tuned:
        assert cell.training is not None
        if cell.training.start is not None:
            assert cell.training.start == learned, "the same prompts, not other ones"
    prompts = list((tmp_path / "runs" / "prompts").glob("*.safetensors"))
    assert len(prompts) == 1 + 2 * len(TRANSFER)
    assert runner.store.training_path(learned) in prompts
    assert time.process_time() - begin < SECONDS
