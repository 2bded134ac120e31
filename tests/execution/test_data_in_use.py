"""Data that change under features, prompts and a running cell; trusted and lost digests."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support import changing_data
from support.changing_data import (
    NAMES,
    Boxes,
    Words,
    World,
    few_shot,
    of_folder,
    replace_image,
)
from support.toy_data import Toy

from rppbench.contracts.engine import Event
from rppbench.files import content_table
from rppbench.files.tensors import read_tensors, write_tensors

pytestmark = pytest.mark.slow  # the second pass of .ci/run has it
settled = changing_data.settled  # a fixture of every test here


def tuned_from_pretraining(models: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A cell whose prompts continue a pretraining on images that count as files."""
    monkeypatch.setattr(Toy, "generated", False)
    return World(
        models, root / "w", methods=("context",), tasks=("fine-tune:suite=toy,shots=2",),
        datasets=("words",), settings=(("recipe.epochs", "1"),),
    )  # fmt: skip


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
    world = tuned_from_pretraining(models, tmp_path, monkeypatch)
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
    world = tuned_from_pretraining(models, tmp_path, monkeypatch)
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
