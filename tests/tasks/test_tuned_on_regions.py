"""Prompts that are tuned on the true regions of seen classes (POMP's second stage)."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.toy_data import Maps, Things
from support.toy_plugin import ToyPlugin, registry_of
from support.toy_runner import ToyRunner

from rppbench import hookimpl
from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.regions import IGNORED
from rppbench.errors import MissingDataError, UsageError
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, cell_data
from rppbench_datasets.segmentation.voc2012 import VOC2012
from rppbench_methods.pomp import POMP
from rppbench_tasks.detection import Detection
from rppbench_tasks.proposing.boxes import square_around
from rppbench_tasks.proposing.masks import part_of
from rppbench_tasks.proposing.true_regions import FILL, regions_of
from rppbench_tasks.segmentation import Segmentation
from rppbench_tasks.segmenting.crops import cut_out


class FewMaps(Maps):
    name = "toy-few-maps"
    generated = True
    fingerprint = lambda self: "few maps"  # noqa: E731


class Plugin:
    @hookimpl
    def rppbench_datasets(self) -> list[type[Things]]:
        return [FewMaps, Things]


@pytest.fixture
def registry(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "cache"))
    return registry_of(toys=ToyPlugin(models), more=Plugin())


def planned(registry: Registry, task: str, method: str = "context") -> Cell:
    asked = Request((method,), (task,), datasets=("toy-few-maps",), backbone="tiny")
    (cell,) = cells(registry, asked)
    return cell


def test_masks_are_cut_out_as_they_are_when_they_are_scored(registry: Registry) -> None:
    data: Dataset = registry.get("datasets", "masks:toy-few-maps")()
    scenes = FewMaps()
    samples = data.samples("train")
    assert [sample.key for sample in samples[:3]] == ["train/0#0", "train/0#1", "train/1#0"]
    assert [sample.label for sample in samples[:2]] == [0, 1]
    assert list(data.held_out()) == [1], "what is unseen is not learned"
    scene = scenes.samples("train")[0]
    part = part_of(scenes.label_map(scene) == 1)
    assert part is not None
    expected = cut_out(scenes.image(scene), part, FILL)
    assert data.image(samples[1]).tobytes() == expected.tobytes()
    assert data.image(Sample(samples[1].key, 7)).tobytes() == expected.tobytes()
    stretched = registry.get("datasets", "stretched-masks:toy-few-maps")().image(samples[1])
    width, height = stretched.size
    assert width == height == 20
    assert (np.asarray(stretched) == np.asarray(scenes.image(scene))[15, 35]).all(), "no margin"
    copy = pickle.loads(pickle.dumps(data))
    assert (copy.name, copy.samples("train")) == (data.name, samples)


def test_boxes_are_cropped_as_they_are_when_they_are_scored(registry: Registry) -> None:
    data: Dataset = registry.get("datasets", "boxes:toy-things")()
    scenes = Things()
    scene = scenes.samples("train")[2]
    expected = square_around(scenes.image(scene), scenes.instances(scene)[1].box, 0.1)
    (sample,) = (one for one in data.samples("train") if one.key == "train/2#1")
    assert data.image(sample).tobytes() == expected.tobytes()
    assert sample.label == 1


def test_a_data_set_without_such_regions_is_unknown(registry: Registry) -> None:
    for name in ("masks:toy", "masks:toy-things", "boxes:nothing", "circles:toy-few-maps"):
        with pytest.raises(UsageError, match="no data set is named"):
            registry.get("datasets", name)


def test_regions_are_found_once_and_again_if_the_data_changes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = registry.get("datasets", "masks:toy-few-maps")
    first = kind().samples("train")
    asked: list[str] = []

    def none(self: FewMaps, sample: Sample) -> object:
        asked.append(sample.key)
        return np.full((40, 60), IGNORED, np.uint16)

    monkeypatch.setattr(FewMaps, "label_map", none)
    assert kind().samples("train") == first
    assert asked == []
    monkeypatch.setattr(FewMaps, "fingerprint", lambda self: "other maps")
    assert kind().samples("train") == []
    assert len(asked) == 3


def test_what_is_learned_and_from_which_prompts(registry: Registry) -> None:
    off = planned(registry, "segmentation:suite=toy")
    assert off.training is not None
    assert not {"tune", "start", "regions"} & set(dict(off.task.options))
    tuned = planned(registry, "segmentation:suite=toy,tune=on").training
    assert tuned is not None
    assert (tuned.source, tuned.classes) == ("masks:toy-few-maps", "seen")
    assert tuned.start is not None
    assert (tuned.start.source, tuned.start.classes) == ("toy", "seen")
    new = planned(registry, "segmentation:suite=toy,tune=on,start=new").training
    assert new is not None
    assert new.start is None
    other = "segmentation:suite=toy,tune=on,geometry=stretch,regions=toy-few-maps"
    stretched = planned(registry, other).training
    assert stretched is not None
    assert stretched.source == "stretched-masks:toy-few-maps"
    # Unknown names of data are an error, whatever made them.
    for task, name, near in (
        ("segmentation", "toy-few-map", "toy-few-maps"),
        ("detection", "toy-thing", "toy-things"),
    ):
        text = f"{task}:suite=toy,tune=on,regions={name}"
        asked = Request(("context",), (text,), backbone="tiny")
        with pytest.raises(UsageError) as caught:
            cells(registry, asked)
        first, listed = str(caught.value).split("\n")[:2]
        assert first == f"no data set is named {name!r}; did you mean {near!r}?"
        assert near in listed.split(": ")[1].split(", ")
        assert "toy" not in listed.split(": ")[1].split(", "), "it has no such regions"
    with pytest.raises(UsageError, match="no data set is named 'masks:toy': 'toy' has no masks"):
        planned(registry, "segmentation:suite=toy,tune=on,regions=toy")


def test_options_that_would_say_nothing_are_refused() -> None:
    for task in (Segmentation, Detection):
        with pytest.raises(UsageError, match="add tune=on"):
            task(start="new")
    with pytest.raises(UsageError, match="context"):
        Detection(tune=True, context=0.3)


def test_a_cell_learns_from_regions_and_is_scored_on_scenes(
    registry: Registry, models: Path, tmp_path: Path
) -> None:
    runner = ToyRunner(tmp_path / "runs", models=models, batch_size=20)
    runner.resources.registry = registry
    tasks = ["segmentation:suite=toy,tune=on", "segmentation:suite=toy,tune=on,start=new"]
    wanted = [planned(registry, task) for task in tasks]
    for batch in cell_groups(wanted):
        runner(batch, lambda event: None)
    for cell in wanted:
        record = runner.store.read(cell)
        assert record is not None
        assert record.failure is None, record.failure
        assert record.training_log
        assert record.score("hiou") is not None
        assert "masks:toy-few-maps:shots" in record.contents
        assert cell_data(record.cell) == cell_data(cell)


def test_the_published_second_stage_is_taken_for_its_data_alone() -> None:
    assert POMP.learning is not None
    recipes = {recipe.name: recipe for recipe in POMP.learning.recipes}
    for name, steps, shots in (("pomp-regions-1", 16_000, 32), ("pomp-regions-2", 3_200, 128)):
        recipe = recipes[name]
        assert (recipe.steps, recipe.shots, recipe.lr, recipe.batch) == (steps, shots, 0.02, 32)
        assert all(name.partition(":")[0].endswith("masks") for name in recipe.datasets)


def test_training_maps_are_read_from_their_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(VOC2012, "counts", {"test": 1})
    for folder, name, label in ((VOC2012.maps, "a", 3), (VOC2012.train_maps, "b", 5)):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("L", (8, 6), label).save(tmp_path / folder / f"{name}.png")
    (tmp_path / VOC2012.images).mkdir()
    for name in "ab":
        Image.new("RGB", (8, 6), (9, 9, 9)).save(tmp_path / VOC2012.images / f"{name}.jpg")
    kind = regions_of("masks", VOC2012)
    assert kind is not None
    (sample,) = kind().samples("train")
    assert (sample.key, sample.label) == ("VOC2012/JPEGImages/b.jpg#5", 5)
    before = kind().fingerprint()
    files = [extent.path.name for extent in kind().extents(sample)]
    assert files == ["b.jpg", "b.png"]
    (tmp_path / VOC2012.train_maps / "a.png").write_bytes(
        (tmp_path / VOC2012.maps / "a.png").read_bytes()
    )
    with pytest.raises(MissingDataError, match="maps of test images"):
        kind().samples("train")
    (tmp_path / VOC2012.train_maps / "a.png").rename(tmp_path / VOC2012.train_maps / "c.png")
    assert kind().fingerprint() != before
