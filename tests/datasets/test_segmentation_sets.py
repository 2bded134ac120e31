"""COCO-Stuff, VOC 2012, ADE20K and PASCAL-Context, on small trees in the prepared layouts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.toy_plugin import ToyPlugin, registry_of
from support.toy_runner import ToyRunner

from rppbench import hookimpl
from rppbench.contracts.dataset import Sample
from rppbench.contracts.regions import IGNORED, PartialAnnotation
from rppbench.errors import MissingDataError, UsageError
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.plugins.registry import Registry
from rppbench.records.record import Record
from rppbench.testing import check_dataset
from rppbench_datasets import segmentation
from rppbench_datasets.detection import coco_format
from rppbench_datasets.segmentation.label_maps import LabelMaps
from rppbench_datasets.vocabularies import table

KINDS: dict[str, Any] = {kind.name: kind for kind in segmentation.SETS}
COUNTS = {
    "coco_stuff": (171, 15),
    "voc2012": (20, 5),
    "ade20k": (150, 0),
    "pascal_context": (59, 0),
    "voc2012_background": (21, 0),
}
SIZE = (20, 30)
"""Height and width of the images."""


def fill(root: Path, kind: Any) -> None:
    """Three images with maps; the last class and pixels without a label are in each."""
    for folder in (kind.maps, kind.images):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(3):
        labels = np.full(SIZE, number, np.uint8)
        labels[:4], labels[4:9] = 255, len(kind.vocabulary()) - 1
        Image.fromarray(labels).save(root / kind.maps / f"00{number}.png")
        Image.new("RGB", SIZE[::-1], (40 * number, 90, 10)).save(
            root / kind.images / f"00{number}.jpg"
        )
    (root / kind.maps / "notes.txt").write_text("no map")
    if kind.listing:
        lines = [f"/JPEGImages/00{number}.jpg /Maps/00{number}.png" for number in range(3)]
        (root / kind.listing).write_text("\n".join(lines))
        Image.new("L", SIZE[::-1]).save(root / kind.maps / "009.png")  # a training image


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path / "data"))
    for kind in KINDS.values():
        monkeypatch.setattr(kind, "counts", {"test": 3})
        fill(tmp_path / "data", kind)
    return tmp_path / "data"


@pytest.mark.parametrize("name", KINDS)
def test_each_set_keeps_the_contract(name: str, root: Path) -> None:
    check_dataset(KINDS[name])
    data = KINDS[name]()
    labels = data.label_map(data.samples("test")[1])
    assert sorted(np.unique(labels)) == [1, len(data.classes) - 1, IGNORED]


@pytest.mark.parametrize("name", KINDS)
def test_classes_are_as_many_as_published_and_numbered_in_order(name: str) -> None:
    classes, unseen = COUNTS[name]
    rows = table(KINDS[name].names)
    assert KINDS[name].size == classes
    assert [int(row[0]) for row in rows] == list(range(classes))
    assert len(set(KINDS[name].vocabulary())) == classes
    assert all(class_name == class_name.strip() != "" for class_name in KINDS[name].vocabulary())
    assert sum(row[2:] == ["unseen"] for row in rows) == unseen


def test_unseen_classes_are_those_of_the_zero_shot_splits(root: Path) -> None:
    unseen = {name: {d.classes[i] for i in d.unseen()} for name, k in KINDS.items() if (d := k())}
    assert unseen["voc2012"] == {"pottedplant", "sheep", "sofa", "train", "tvmonitor"}
    assert unseen["coco_stuff"] == {
        *("cow", "giraffe", "suitcase", "frisbee", "skateboard", "carrot", "scissors"),
        *("cardboard", "clouds", "grass", "playingfield", "river", "road", "tree"),
        "wall-concrete",
    }
    assert unseen["ade20k"] == unseen["pascal_context"] == set()


def test_other_names_and_words_of_classes_are_published_ones(root: Path) -> None:
    voc = KINDS["voc2012"]()
    other = {a: b for a, b in zip(voc.classes, voc.maskclip_names(), strict=True) if a != b}
    assert other == {
        "aeroplane": "airplane",
        "diningtable": "dining table",
        "pottedplant": "potted plant",
        "tvmonitor": "tv monitor",
    }
    assert KINDS["ade20k"]().maskclip_names()[34] == "rock"
    assert KINDS["coco_stuff"]().maskclip_names()[159] == "brick wall"
    assert voc.words() == [[name] for name in voc.classes]
    background = KINDS["voc2012_background"]()
    assert background.classes[1:] == voc.classes
    assert len(background.words()[0]) == 26
    assert background.words()[4] == ["ship"]
    for listed, number in (("coco_stuff", 29), ("ade20k", 51), ("pascal_context", 4)):
        names = [ours for name, ours, _ in table("maskclip") if name == listed]
        assert len(names) == number
        assert set(names) <= set(KINDS[listed].vocabulary())


def test_a_known_number_of_maps_is_accepted_with_its_name(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = KINDS["pascal_context"]
    monkeypatch.setattr(kind, "counts", {"test": 4})
    with pytest.raises(MissingDataError, match="has 3 label maps, not 4 or 5,104"):
        kind()
    monkeypatch.setattr(kind, "layouts", {3: "a shorter list"})
    assert list(kind().remarks()) == ["pascal_context has 3 label maps: a shorter list"]
    assert list(KINDS["voc2012"]().remarks()) == []


def test_only_listed_images_belong_to_a_set_with_a_list(root: Path) -> None:
    kind = KINDS["voc2012_background"]
    assert [one.key for one in kind().samples("test")][-1] == "VOC2012/JPEGImages/002.jpg"
    assert kind.lacks(root) == []
    (root / kind.listing).unlink()
    assert [source.gives for source in kind.lacks(root)] == ["VOC2012/val.txt"]
    with pytest.raises(MissingDataError, match=r"cannot read the list .*val\.txt"):
        kind()


def test_the_suite_has_them_for_segmentation_and_nothing_else() -> None:
    registry = Registry.load()
    assert {*registry.names("coop", "segmentation")} == {*KINDS} - {"voc2012_background"}
    assert list(registry.names("background", "segmentation")) == ["voc2012_background"]
    assert not set(KINDS) & set(registry.names("coop", "transfer"))


@pytest.fixture
def data(root: Path) -> LabelMaps:
    voc: LabelMaps = KINDS["voc2012"]()
    return voc


def first(data: LabelMaps) -> tuple[Path, Sample]:
    return data.folder / "000.png", data.samples("test")[0]


def test_a_map_that_is_not_a_png_of_bytes_is_named(data: LabelMaps) -> None:
    path, sample = first(data)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(MissingDataError, match=r"cannot read label map .*000\.png"):
        data.label_map(sample)
    path.write_bytes(b"")
    with pytest.raises(MissingDataError, match=r"cannot read label map .*000\.png"):
        data.label_map(sample)
    for content in (Image.new("RGB", (5, 5)), Image.new("I;16", (5, 5)), Image.new("1", (5, 5))):
        content.save(path)
        with pytest.raises(MissingDataError, match="not a byte"):
            data.label_map(sample)
    path.unlink()
    with pytest.raises(MissingDataError, match=r"no label map .*000\.png"):
        data.label_map(sample)


def test_labels_of_a_map_with_a_palette_are_its_numbers(data: LabelMaps) -> None:
    path, sample = first(data)
    before = data.label_map(sample)
    with Image.open(path) as file:
        numbers = file.convert("L")
    numbers.putpalette([7] * 768)
    numbers.save(path)
    assert (data.label_map(sample) == before).all()


def test_a_label_beyond_the_classes_is_named_with_its_file(data: LabelMaps) -> None:
    path, sample = first(data)
    Image.fromarray(np.array([[0, 19, 255], [20, 21, 0]], np.uint8)).save(path)
    with pytest.raises(MissingDataError, match=r"000.png holds label 20, but .* 0 to 19"):
        data.label_map(sample)


def test_missing_folders_maps_and_images_are_named(data: LabelMaps, root: Path) -> None:
    (root / data.samples("test")[2].key).unlink()
    with pytest.raises(MissingDataError, match=r"002\.jpg"):
        data.image(data.samples("test")[2])
    first(data)[0].unlink()
    with pytest.raises(MissingDataError, match="2 label maps, not 3"):
        type(data)()
    os.rename(data.folder, data.folder.with_name("elsewhere"))
    with pytest.raises(MissingDataError, match=r"no folder .*annotations_detectron2/val"):
        type(data)()


def test_another_map_makes_another_data_set(data: LabelMaps) -> None:
    noise = np.random.default_rng(0).integers(0, 20, SIZE, dtype=np.uint8)
    Image.fromarray(noise).save(first(data)[0])
    assert type(data)().fingerprint() != data.fingerprint()


def test_validation_masks_among_those_to_train_on_are_recognised(data: LabelMaps) -> None:
    training = data.folder.with_name("train_base")
    training.mkdir()
    (training / "2007_000032.png").write_bytes(b"")
    type(data)()
    (training / "001.png").write_bytes(b"")
    with pytest.raises(MissingDataError, match=r"train_base holds 1 validation masks \(001"):
        type(data)()


# --- cells ------------------------------------------------------------------------------------


class Sets:
    @hookimpl
    def rppbench_datasets(self) -> list[Any]:
        return list(KINDS.values())


def scored(models: Path, folder: Path, options: str, name: str) -> Record:
    registry = registry_of(toys=ToyPlugin(models), more=Sets())
    text = f"segmentation:suite=coop,source=toy,{options}"
    (cell,) = cells(registry, Request(("fixed",), (text,), (name,), backbone="tiny"))
    runner = ToyRunner(folder, models=models)
    runner.resources.registry = registry
    for batch in cell_groups([cell]):
        runner(batch, lambda event: None)
    record = runner.store.read(cell)
    assert record is not None
    return record


@pytest.mark.parametrize(("name", "metric"), [("voc2012", "hiou"), ("pascal_context", "miou")])
def test_a_cell_scores_a_set(
    name: str, metric: str, root: Path, models: Path, tmp_path: Path
) -> None:
    record = scored(models, tmp_path, "head=dense", name)
    assert record.failure is None, record.failure
    assert record.metric == metric


def test_a_map_of_another_size_than_its_image_fails_the_cell_with_the_reason(
    root: Path, models: Path, tmp_path: Path
) -> None:
    kind = KINDS["voc2012"]
    Image.new("RGB", (31, 20)).save(root / kind.images / "001.jpg")
    failure = scored(models, tmp_path, "head=dense", "voc2012").failure
    assert failure is not None
    assert "the label map of VOC2012/JPEGImages/001.jpg is 20 x 30 pixels" in failure.message
    assert "its image 20 x 31" in failure.message


def test_published_settings_are_used_where_they_are_asked_for(
    root: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rppbench_tasks.segmentation import Segmentation
    from rppbench_tasks.segmenting.two_stage import Settings

    used: list[tuple[object, ...]] = []
    scaled = Segmentation.scaled

    def recording(self: Segmentation, image: Image.Image) -> Image.Image:
        used.append((self.settings, self.short, self.long, self.enlarge, self.names, self.view))
        return scaled(self, image)

    monkeypatch.setattr(Segmentation, "scaled", recording)
    monkeypatch.setattr(
        KINDS["voc2012"], "published", KINDS["voc2012"].published._replace(short=40)
    )
    monkeypatch.setattr(KINDS["voc2012"], "maskclip_size", (24, 48))
    record = scored(models, tmp_path, "head=proposals,published=on", "voc2012")
    assert record.failure is None, record.failure
    settings = Settings(0.7, "stretch", "soft", 0.5)
    assert set(used) == {(settings, 40, 2048, "probabilities", "own", "windows")}
    used.clear()
    dense = scored(models, tmp_path, "head=dense,published=on", "voc2012")
    assert dense.failure is None, dense.failure
    assert set(used) == {(Settings(), 24, 48, "cosines", "maskclip", "whole")}
    assert KINDS["ade20k"].published == (0.5, 512, 2048, 0.4)


def test_lists_of_checked_categories_hold_known_ids() -> None:
    known = {3: 0, 7: 1}
    entry = {"neg_category_ids": [7], "not_exhaustive_category_ids": [3, 7]}
    assert coco_format._partial_annotation(entry, known, "x") == PartialAnnotation((1,), (0, 1))
    assert coco_format._partial_annotation({}, known, "x") == PartialAnnotation((), ())
    for wrong, message in (([9], "holds 9, which no category"), (["7"], "not a list of category")):
        with pytest.raises(UsageError, match=message):
            coco_format._partial_annotation({"neg_category_ids": wrong}, known, "x")
