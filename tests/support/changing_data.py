"""Data that tests change under a record, and a world that plans and runs one cell on them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import rppbench_datasets
from rppbench.contracts.dataset import Dataset, Sample
from rppbench.contracts.fitted import Examples, FittedMethod
from rppbench.contracts.learning import Learning
from rppbench.contracts.prompts import Prompts, Space, Templates
from rppbench.contracts.recipe import Recipe
from rppbench.contracts.regions import DetectionSet, Instance
from rppbench.data.contents import DataContents
from rppbench.execution.resources import Resources
from rppbench.features.store import FeatureStore
from rppbench.files import content_table
from rppbench.models.clip import load
from rppbench.planning.data_check import DataCheck
from rppbench.planning.input_digests import InputDigests
from rppbench.planning.plan import cell_groups, cells
from rppbench.planning.request import Request
from rppbench.planning.status import Planned, survey
from rppbench.plugins.registry import Registry
from rppbench.records.record import Record
from support.toy_data import COLOURS
from support.toy_plugin import PluginOf, ToyPlugin, registry_of
from support.toy_runner import ToyRunner

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


@contextmanager
def size_and_time_kept(path: Path) -> Iterator[None]:
    """Another content of the same size, with the file's old times set back."""
    before = path.stat()
    yield
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


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


MORE = PluginOf([FromVal], [Words, Boxes])


class World:
    """A cell of one method on one data set, in folders of records and features."""

    def __init__(self, models: Path, folder: Path, **request: Any) -> None:
        self.models, self.folder = models, folder
        self.request = {"tasks": ("cross-dataset:suite=toy",), **request}
        self.cache = folder / "features"

    @property
    def registry(self) -> Registry:
        return registry_of(toys=ToyPlugin(self.models), more=MORE, ours=rppbench_datasets)

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


def of_folder(models: Path, root: Path, **request: Any) -> World:
    make_folder(root / "images")
    request = {"methods": ("fixed",), **request}
    return World(models, root / "w", datasets=(f"folder:{root / 'images'}",), **request)


def few_shot(method: str) -> dict[str, Any]:
    settings = (("recipe.epochs", "3"),) if method == "context" else ()
    return {"methods": (method,), "tasks": ("few-shot:suite=toy,shots=2",), "settings": settings}
