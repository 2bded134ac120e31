"""A result is what its data are: whatever changes, no stale number, feature or prompt is served.

Each situation runs a cell, changes the data under it, plans and runs again. The number must then be
that of a run in empty folders.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import coop_root
from support.toy_data import COLOURS, Toy
from support.toy_plugin import ToyPlugin, registry_of
from support.toy_runner import ToyRunner
from torch import Tensor

import rppbench_datasets
from rppbench import hookimpl
from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.engine import Event
from rppbench.contracts.fitted import Examples, FittedMethod
from rppbench.contracts.learning import Learning
from rppbench.contracts.method import Method
from rppbench.contracts.prompts import Prompts, Space, Templates
from rppbench.contracts.recipe import Recipe
from rppbench.contracts.regions import DetectionSet, Instance
from rppbench.data.contents import DataContents
from rppbench.execution.resources import Resources
from rppbench.features.store import FeatureStore
from rppbench.files import content_table
from rppbench.files.tensors import read_tensors, write_tensors
from rppbench.models.clip import load
from rppbench.planning.data_check import DataCheck
from rppbench.planning.input_digests import InputDigests
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.planning.status import Planned, survey
from rppbench.plugins.registry import Registry
from rppbench.records.record import Record
from rppbench_datasets import segmentation
from rppbench_datasets.detection import coco

pytestmark = pytest.mark.slow  # the second pass of .ci/run has it

NAMES = ("blue_lake", "green_field", "red_square")
SIDE = 32


def colour_of(name: str) -> tuple[int, int, int]:
    return COLOURS[name.replace("_", " ")]


def noise(name: str, number: int) -> Image.Image:
    """An image of a class; all have equal size on disk as BMP."""
    rng = np.random.default_rng(100 * NAMES.index(name) + number)
    pixels = np.array(colour_of(name)) + rng.integers(-60, 60, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def make_folder(root: Path) -> Path:
    for at, split in enumerate(("train", "val", "test")):
        for name in NAMES:
            (root / split / name).mkdir(parents=True)
            for number in range(3):
                noise(name, 10 * at + number).save(root / split / name / f"{number}.bmp")
    return root


def replace_image(path: Path, other: Path, keep_time: bool = False) -> None:
    """Write the content of another image of equal size; `keep_time` sets the times back."""
    before = path.stat()
    content = other.read_bytes()
    assert len(content) == before.st_size
    assert content != path.read_bytes()
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns


class Words(Dataset):
    """Images and classes as the test sets them; the fingerprint never changes."""

    name, title, suite, role = "words", "Words", "toy", "transfer"
    names: tuple[str, ...] = ("blue lake", "green field", "red square")
    shift = 0

    @property
    def classes(self) -> Sequence[str]:
        return self.names

    def samples(self, split: str) -> Sequence[Sample]:
        return [Sample(f"{split}/{n}/{i}", n) for n in range(3) for i in range(3)]

    def image(self, sample: Sample) -> Image.Image:
        _, label, number = sample.key.split("/")
        return noise(NAMES[int(label)], int(number) + self.shift)

    def fingerprint(self) -> str:
        return "words-1"


class Boxes(DetectionSet):
    """One image with a box that the test moves; the fingerprint never changes."""

    name, title, suite, role = "boxes", "Boxes", "toy", "detection"
    box = (4.0, 4.0, 12.0, 12.0)

    @property
    def classes(self) -> Sequence[str]:
        return ["blue lake", "red square"]

    def samples(self, split: str) -> Sequence[Sample]:
        return [Sample(f"{split}/0", -1)]

    def image(self, sample: Sample) -> Image.Image:
        return noise("red_square", 0)

    def instances(self, sample: Sample) -> Sequence[Instance]:
        return [Instance(1, self.box)]

    def fingerprint(self) -> str:
        return "boxes-1"


class FromVal(FittedMethod):
    """Compares images with the mean of the validation images of each class."""

    name, title = "from-val", "From val"
    learning = Learning((Recipe("from-val-1", epochs=0, batch=6, lr=0.1, augment="none", shots=2),))
    open_vocabulary = False

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.register_buffer("means", torch.zeros(space.classes, space.embed))

    def prompts(self) -> Prompts:
        return Prompts(Templates())

    def classify(self, images: Tensor, texts: Tensor, classes: Tensor, scale: Tensor) -> Tensor:
        assert isinstance(self.means, Tensor)
        return scale * images @ self.means[classes].T

    def finish(self, examples: Examples) -> None:
        assert isinstance(self.means, Tensor)
        for label in range(len(self.means)):
            self.means[label] = examples.val_images[examples.val_labels == label].mean(0)


class More:
    """Further plugin components."""

    @hookimpl
    def rppbench_methods(self) -> list[type[Method]]:
        return [FromVal]

    @hookimpl
    def rppbench_datasets(self) -> list[type[Dataset]]:
        return [Words, Boxes]


class World:
    """A cell of one method on one data set, in folders of records and features."""

    def __init__(self, models: Path, folder: Path, **request: Any) -> None:
        self.models, self.folder = models, folder
        self.request = {"tasks": ("cross-dataset:suite=toy",), **request}
        self.cache = folder / "features"

    @property
    def registry(self) -> Registry:
        return registry_of(toys=ToyPlugin(self.models), more=More(), ours=rppbench_datasets)

    def runner(self, trust: bool = False, since: float = 0.0) -> ToyRunner:
        runner = ToyRunner(self.folder / "runs", batch_size=4, models=self.models)
        registry = self.registry
        clip = load(
            "tiny", {b.name: b for b in ToyPlugin(self.models).rppbench_backbones()}, "fp32"
        )
        runner.resources = Resources(
            registry=registry,
            load=lambda name, precision: clip,
            features=FeatureStore(self.cache),
            prompts=runner.store.training_path,
            batch_size=4,
            contents=DataContents(trust, since, self.cache),
        )
        return runner

    def plan(self, trust: bool = False, since: float = 0.0) -> list[Planned]:
        digests = InputDigests(self.registry)
        request = Request(backbone="tiny", **self.request)
        check = DataCheck(digests.dataset, DataContents(trust, since, self.cache))
        planned = cells(self.registry, request, digests)
        if "fine-tune" in request.tasks[0]:
            planned = [cell for cell in planned if cell.training and cell.training.start]
        return survey(planned, self.runner().store, [check])[0]

    def run(self, trust: bool = False) -> Record:
        """Run what is due, as `rppbench run` does; the record of the only cell."""
        (entry,) = self.plan(trust)
        runner = self.runner(trust)
        if entry.state != "done":
            for group in cell_groups([entry.cell]):
                runner(group, lambda event: None)
        record = runner.store.read(entry.cell)
        assert record is not None
        assert record.failure is None, record.failure
        return record

    def elsewhere(self, folder: Path) -> World:
        """The same cell in empty folders."""
        return World(self.models, folder, **self.request)


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table keeps files that were written just now, as if they were old."""
    monkeypatch.setattr(content_table, "SETTLED_NS", -(10**18))
    for name in ("names", "template", "shift"):
        monkeypatch.setattr(Words, name, getattr(Words, name))
    monkeypatch.setattr(Boxes, "box", Boxes.box)


Change = Callable[[], object]
Situation = Callable[[Path, Path, pytest.MonkeyPatch], tuple[World, Change, str]]
"""From models, folder and patch: the world, the change of its data, and a part of the reason."""


def of_folder(models: Path, root: Path, **request: Any) -> World:
    make_folder(root / "images")
    request = {"methods": ("fixed",), **request}
    return World(models, root / "w", datasets=(f"folder:{root / 'images'}",), **request)


def new_time(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    world = of_folder(models, root)
    test = root / "images" / "test"
    return (
        world,
        lambda: replace_image(test / NAMES[0] / "1.bmp", test / NAMES[2] / "1.bmp"),
        "changed since (1: test/blue_lake/1.bmp)",
    )


def old_time(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    world = of_folder(models, root)
    test = root / "images" / "test"

    def change() -> None:
        for number in range(3):
            image = test / NAMES[0] / f"{number}.bmp"
            replace_image(image, test / NAMES[2] / f"{number}.bmp", keep_time=True)

    return world, change, "test images of 'folder:"


def moved_link(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    make_folder(root / "one")
    shutil.copytree(root / "one", root / "two")  # times are copied too
    test = root / "two" / "test"
    replace_image(test / NAMES[0] / "0.bmp", test / NAMES[1] / "0.bmp", keep_time=True)
    link = root / "link"
    link.symlink_to(root / "one")
    world = World(models, root / "w", methods=("fixed",), datasets=(f"folder:{link}",))

    def change() -> None:
        link.unlink()
        link.symlink_to(root / "two")

    return world, change, "(1: test/blue_lake/0.bmp)"


def write_tar(path: Path, swapped: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for label, name in enumerate(NAMES):
            for number in range(2):
                shown = NAMES[2] if swapped and (label, number) == (0, 1) else name
                content = io.BytesIO()
                noise(shown, number).save(content, "BMP")
                for ending, data in (("bmp", content.getvalue()), ("cls", b"%d" % label)):
                    member = tarfile.TarInfo(f"{label}-{number}.{ending}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def in_a_tar(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    place = root / "wds"
    tar = place / "test" / "0.tar"
    write_tar(tar, swapped=False)
    (place / "test" / "nshards.txt").write_text("1\n")
    (place / "classnames.txt").write_text("\n".join(NAMES) + "\n")
    world = World(models, root / "w", methods=("fixed",), datasets=(f"wds:{place}",))

    def change() -> None:
        before = tar.stat()
        write_tar(tar, swapped=True)
        assert tar.stat().st_size == before.st_size
        os.utime(tar, ns=(before.st_atime_ns, before.st_mtime_ns))

    return world, change, "(1: test/0.tar/0-1.bmp)"


def in_parquet(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    datasets = pytest.importorskip("datasets")
    place = root / "table"
    place.mkdir(parents=True)

    def write(swapped: bool) -> None:
        rows: dict[str, list[Any]] = {"image": [], "label": []}
        for label, name in enumerate(NAMES):
            content = io.BytesIO()
            noise(NAMES[2] if swapped and not label else name, label).save(content, "BMP")
            rows["image"].append({"bytes": content.getvalue(), "path": None})
            rows["label"].append(label)
        kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))}
        table = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
        table.to_parquet(place / "test.parquet")

    write(False)
    world = World(models, root / "w", methods=("fixed",), datasets=(f"hf:{place}",))

    def change() -> None:
        before = (place / "test.parquet").stat()
        write(True)
        os.utime(place / "test.parquet", ns=(before.st_atime_ns, before.st_mtime_ns))

    return world, change, "test images of 'hf:"


def in_a_coop_set(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    coop_root.make(root / "data", "dtd", patch)
    world = World(models, root / "w", methods=("fixed",), datasets=("dtd",))
    listed = json.loads((root / "data" / "dtd" / "split_zhou_DescribableTextures.json").read_text())

    def change() -> None:
        for at, (path, _, _) in enumerate(listed["test"]):
            image = Image.new("RGB", (20, 14), (240, 240, 20 * at))
            image.save(root / "data" / "dtd" / "images" / path, "JPEG")

    return world, change, "test images of 'dtd' changed since"


def renamed_class(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    world = World(models, root / "w", methods=("fixed",), datasets=("words",))
    names = ("grey stone", *Words.names[1:])
    return world, lambda: patch.setattr(Words, "names", names), "class names or template of 'words'"


def reordered(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    world = World(models, root / "w", methods=("fixed",), datasets=("words",))
    names = tuple(reversed(Words.names))
    return world, lambda: patch.setattr(Words, "names", names), "class names or template of 'words'"


def new_template(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    world = World(models, root / "w", methods=("fixed",), datasets=("words",))
    return (
        world,
        lambda: patch.setattr(Words, "template", "the red red {}."),
        "class names or template of 'words'",
    )


def few_shot(method: str) -> dict[str, Any]:
    settings = (("recipe.epochs", "3"),) if method == "context" else ()
    return {"methods": (method,), "tasks": ("few-shot:suite=toy,shots=2",), "settings": settings}


def training_image(
    models: Path, root: Path, patch: pytest.MonkeyPatch
) -> tuple[World, Change, str]:
    world = of_folder(models, root, **few_shot("context"))
    train = root / "images" / "train"

    def change() -> None:  # every image of a class, so that the drawn ones are among them
        for number in range(3):
            image = train / NAMES[0] / f"{number}.bmp"
            replace_image(image, train / NAMES[2] / f"{number}.bmp", keep_time=True)

    return world, change, "training images of 'folder:"


def validation_image(
    models: Path, root: Path, patch: pytest.MonkeyPatch
) -> tuple[World, Change, str]:
    world = of_folder(models, root, **few_shot("from-val"))
    val = root / "images" / "val"

    def change() -> None:  # now each class shows the next one
        contents = [(val / name / "0.bmp").read_bytes() for name in NAMES]
        for at, name in enumerate(NAMES):
            for image in (val / name).iterdir():
                before = image.stat()
                image.write_bytes(contents[(at + 1) % len(NAMES)])
                os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))

    return world, change, "validation images of 'folder:"


def save_map(path: Path, first: int) -> None:
    """A label map of 300 bytes: a PNG may be followed by anything."""
    labels = np.tile((np.arange(SIDE) + first) % 20, (SIDE, 1)).astype(np.uint8)
    Image.fromarray(labels).save(path)
    path.write_bytes(path.read_bytes().ljust(300, b"\0"))


def masks(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    kind = next(kind for kind in segmentation.SETS if kind.name == "voc2012")
    patch.setenv("RPPBENCH_DATA", str(root))
    patch.setattr(kind, "counts", {"test": 2})
    for folder in (kind.maps, kind.images):
        (root / folder).mkdir(parents=True)
    for number in range(2):
        save_map(root / kind.maps / f"{number}.png", number)
        noise(NAMES[number], number).save(root / kind.images / f"{number}.jpg")
    world = World(
        models,
        root / "w",
        methods=("fixed",),
        datasets=("voc2012",),
        tasks=("segmentation:suite=coop,source=toy",),
    )

    def change() -> None:
        path = root / kind.maps / "1.png"
        before = path.stat()
        save_map(path, 12)
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return world, change, "annotations of 'voc2012' changed since (1: VOC2012/JPEGImages/1.jpg)"


def box_file(models: Path, root: Path, patch: pytest.MonkeyPatch) -> tuple[World, Change, str]:
    """Of COCO's files only the sizes of images are not part of the key."""
    patch.setenv("RPPBENCH_DATA", str(root))
    listed = root / coco.Coco.annotations
    listed.parent.mkdir(parents=True)
    (root / coco.Coco.images).mkdir(parents=True)

    def write(height: int) -> None:
        image = {"id": 1, "file_name": "1.bmp", "height": height, "width": SIDE}
        box = {"image_id": 1, "category_id": 1, "bbox": [2, 2, 28, 28], "iscrowd": 0}
        listed.write_text(json.dumps({"images": [image], "annotations": [box]}))

    write(SIDE)
    noise("red_square", 0).save(root / coco.Coco.images / "1.bmp")
    world = World(
        models,
        root / "w",
        methods=("fixed",),
        datasets=("coco",),
        tasks=("detection:suite=coop,source=toy,proposals=true",),
    )

    def change() -> None:
        before = listed.stat()
        write(12)
        assert listed.stat().st_size == before.st_size
        os.utime(listed, ns=(before.st_atime_ns, before.st_mtime_ns))

    return world, change, "annotations of 'coco' changed since"


SITUATIONS: list[Situation] = [
    *(new_time, old_time, moved_link, in_a_tar, in_parquet, in_a_coop_set),
    *(renamed_class, reordered, new_template, training_image, validation_image, masks, box_file),
]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.__name__)
def test_whatever_changes_the_old_number_is_not_served(
    situation: Situation, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, change, reason = situation(models, tmp_path / "s", monkeypatch)
    first = world.run()
    assert first.contents
    (entry,) = world.plan()
    assert (entry.state, entry.why) == ("done", ())
    change()
    (entry,) = world.plan()
    assert entry.state == "stale", "the key is the same, only the data are not"
    assert any(reason in why for why in entry.why), entry.why
    second = world.run()
    assert second.key == first.key
    right = world.elsewhere(tmp_path / "e").run()
    assert second.measured() == right.measured()
    assert second.contents == right.contents != first.contents
    assert second.measured() != first.measured(), "the change must matter"
    (entry,) = world.plan()
    assert entry.state == "done"


def test_a_copy_elsewhere_has_the_same_key_and_is_not_stale(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other times, other inodes and empty caches; the name of the folder is as written."""
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    make_folder(tmp_path / "here" / "images")
    world = World(models, tmp_path / "w", datasets=("folder:~/images",), **few_shot("context"))
    first = world.run()
    shutil.copytree(tmp_path / "here", tmp_path / "there", copy_function=shutil.copy)
    monkeypatch.setenv("HOME", str(tmp_path / "there"))
    world.cache = tmp_path / "other-cache"
    (entry,) = world.plan()
    assert (entry.state, entry.cell.key) == ("done", first.key)
    right = world.elsewhere(tmp_path / "e").run()
    assert (right.key, right.contents) == (first.key, first.contents)
    assert right.measured() == first.measured()


def test_features_and_prompts_of_replaced_images_are_not_used(models: Path, tmp_path: Path) -> None:
    """In a new folder of records, with the old cache; and for prompts without their record."""
    world = of_folder(models, tmp_path, **few_shot("context"))
    first = world.run()
    for split in ("train", "test"):
        folder = tmp_path / "images" / split
        for number in range(3):
            image = folder / NAMES[0] / f"{number}.bmp"
            replace_image(image, folder / NAMES[2] / f"{number}.bmp", keep_time=True)
    right = world.elsewhere(tmp_path / "e").run()
    assert right.measured() != first.measured()
    new = World(models, tmp_path / "n", **world.request)
    new.cache = world.cache
    assert new.run().measured() == right.measured()
    world.runner().store.record_path(first.cell).unlink()
    (entry,) = world.plan()
    assert (entry.state, entry.training) == ("todo", "learn")
    second = world.run()
    assert second.measured() == right.measured()
    assert not second.cost.training_reused


def test_pretraining_images_are_part_of_what_is_tuned_from_them(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "generated", False)
    world = World(
        models, tmp_path / "w", methods=("context",), tasks=("fine-tune:suite=toy,shots=2",),
        datasets=("words",), settings=(("recipe.epochs", "1"),),
    )  # fmt: skip
    first = world.run()
    assert {"toy:pretraining shots", "words:shots", "words:test"} <= first.contents.keys()
    assert world.plan()[0].state == "done"
    monkeypatch.setattr(Toy, "template", "the {}")
    (entry,) = world.plan()
    assert entry.why == ("class names or template of 'toy' changed since",)
    assert (entry.training, entry.trainings) == ("learn", 2)


def test_base_and_new_classes_and_a_limit_are_found_again(models: Path, tmp_path: Path) -> None:
    world = of_folder(
        models, tmp_path, methods=("fixed",), tasks=("base-to-new:suite=toy",), limit=2
    )
    names = [name.rpartition(":")[2] for name in world.run().contents]
    assert names == ["classes", "test base", "test new"]
    assert world.plan()[0].state == "done"
    test = tmp_path / "images" / "test"
    replace_image(test / NAMES[2] / "2.bmp", test / NAMES[0] / "2.bmp")
    assert world.plan()[0].state == "done", "an image that the limit leaves out"
    replace_image(test / NAMES[2] / "0.bmp", test / NAMES[0] / "0.bmp")
    assert "test new images" in world.plan()[0].why[0]


def test_a_file_that_changes_during_the_run_fails_the_cell(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = of_folder(models, tmp_path, **few_shot("context"))
    (entry,) = world.plan()
    runner = world.runner()
    image = tmp_path / "images" / "train" / NAMES[0] / "0.bmp"
    other = tmp_path / "images" / "train" / NAMES[2] / "0.bmp"
    original = image.read_bytes()

    def change(event: Event) -> None:
        if event.phase == "train" and event.done == 1:
            for number in range(3):
                replace_image(image.with_name(f"{number}.bmp"), other)

    runner((entry.cell,), change)
    record = runner.store.read(entry.cell)
    assert record is not None
    assert record.failure is not None
    assert "changed while they were in use" in record.failure.message
    assert str(image.parent) in record.failure.message
    assert not list((tmp_path / "w").rglob("prompts/*.safetensors"))
    assert world.plan()[0].state == "failed"
    assert world.run().measured() == world.elsewhere(tmp_path / "e").run().measured()
    image.write_bytes(original)


def test_features_of_an_image_that_changes_while_it_is_encoded_are_not_stored(
    models: Path, tmp_path: Path
) -> None:
    """Otherwise they would be served when the old image is back."""
    world = of_folder(models, tmp_path)
    (entry,) = world.plan()
    test = tmp_path / "images" / "test"
    image, other = test / NAMES[0] / "0.bmp", test / NAMES[2] / "0.bmp"
    original = image.read_bytes()
    runner = world.runner()

    def change(event: Event) -> None:
        if event.phase == "look":
            replace_image(image, other)

    runner((entry.cell,), change)
    assert world.plan()[0].state == "failed"
    image.write_bytes(original)
    assert world.run().measured() == world.elsewhere(tmp_path / "e").run().measured()


def test_a_change_after_the_last_image_was_read_fails_the_cell_too(
    models: Path, tmp_path: Path
) -> None:
    world = of_folder(models, tmp_path)
    (entry,) = world.plan()
    test = tmp_path / "images" / "test"
    runner = world.runner()

    def change(event: Event) -> None:
        if event.phase == "encode" and event.done == event.total:
            replace_image(test / NAMES[0] / "0.bmp", test / NAMES[2] / "0.bmp")

    runner((entry.cell,), change)
    record = runner.store.read(entry.cell)
    assert record is not None
    assert record.failure is not None
    assert "1 file changed while they were in use" in record.failure.message


def test_prompts_of_an_unverified_pretraining_do_not_become_verified(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "generated", False)
    world = World(
        models, tmp_path / "w", methods=("context",), tasks=("fine-tune:suite=toy,shots=2",),
        datasets=("words",), settings=(("recipe.epochs", "1"),),
    )  # fmt: skip
    record = world.run()
    training = record.cell.training
    assert training is not None
    assert training.start is not None
    store = world.runner().store
    path = store.training_path(training.start)
    metadata, tensors = read_tensors(path)
    progress = {**json.loads(metadata["progress"]), "contents": {}}
    write_tensors(path, tensors, {**metadata, "progress": json.dumps(progress)})
    store.training_path(training).unlink()
    store.record_path(record.cell).unlink()
    again = world.run()
    assert record.contents.keys() - again.contents.keys() == {
        "toy:pretraining shots",
        "toy:classes",
    }
    assert again.measured() == record.measured()


def test_data_that_changed_since_the_plan_fail_the_cell(models: Path, tmp_path: Path) -> None:
    """A cell that was planned for other classes is not recorded under its key."""
    world = of_folder(models, tmp_path)
    (entry,) = world.plan()
    (tmp_path / "images" / "test" / NAMES[0]).rename(tmp_path / "images" / "test" / "stone")
    runner = world.runner()
    runner((entry.cell,), lambda event: None)
    record = runner.store.read(entry.cell)
    assert record is not None
    assert record.failure is not None
    assert "has changed since the cell was planned" in record.failure.message


def test_trusted_files_are_not_looked_at_and_verified_ones_are_read(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = of_folder(models, tmp_path)
    first = world.run()
    reads: list[object] = []
    read = content_table._read
    monkeypatch.setattr(content_table, "_read", lambda place: (reads.append(place), read(place))[1])
    assert world.plan()[0].state == "done"
    assert reads == []
    assert world.plan(since=time.time())[0].state == "done"
    assert len(reads) == 9
    test = tmp_path / "images" / "test"
    replace_image(test / NAMES[0] / "0.bmp", test / NAMES[2] / "0.bmp")
    assert world.plan(trust=True)[0].state == "done"
    assert world.run(trust=True) == first
    assert world.plan()[0].state == "stale"


def test_images_in_no_file_are_read_again_only_on_request(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit that the documentation states: the plugin's fingerprint is its word."""
    worlds = [
        World(models, tmp_path / "w", methods=("fixed",), datasets=("words",)),
        World(
            models, tmp_path / "b", methods=("fixed",), datasets=("boxes",),
            tasks=("detection:suite=toy,source=toy",),
        ),
    ]  # fmt: skip
    for world in worlds:
        world.run()
    monkeypatch.setattr(Words, "shift", 5)
    monkeypatch.setattr(Boxes, "box", (9.0, 2.0, 20.0, 22.0))
    assert [world.plan()[0].state for world in worlds] == ["done", "done"]
    entries = [world.plan(since=time.time())[0] for world in worlds]
    assert [entry.why[0].partition(" changed")[0] for entry in entries] == [
        "test images of 'words'",
        "annotations of 'boxes'",
    ]
    for world, name in zip(worlds, ("x", "y"), strict=True):
        right = world.elsewhere(tmp_path / name).run()
        assert world.run().measured() == right.measured()


def test_a_record_without_digests_is_unverified_not_stale(models: Path, tmp_path: Path) -> None:
    world = of_folder(models, tmp_path)
    record = replace(world.run(), contents={})
    world.runner().store.write(record)
    test = tmp_path / "images" / "test"
    replace_image(test / NAMES[0] / "0.bmp", test / NAMES[2] / "0.bmp")
    assert world.plan()[0].state == "done"


def test_the_table_may_be_lost_or_damaged(models: Path, tmp_path: Path) -> None:
    world = of_folder(models, tmp_path)
    world.run()
    table = world.cache / "contents.sqlite"
    for content in (b"not a database" * 100, b"", None):
        table.unlink()
        if content is not None:
            table.write_bytes(content)
        assert world.plan()[0].state == "done"
        assert table.read_bytes().startswith(b"SQLite format 3")
