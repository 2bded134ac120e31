"""A result is what its data are: whatever changes, no stale number is served.

Each situation runs a cell, changes the data under it, plans and runs again. The number must then be
that of a run in empty folders.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import changing_data
from support.changing_data import (
    NAMES,
    SIDE,
    Words,
    World,
    few_shot,
    make_folder,
    noise,
    of_folder,
    replace_image,
    size_and_time_kept,
)
from support.roots import coop_root

from rppbench_datasets import segmentation
from rppbench_datasets.detection import coco

pytestmark = pytest.mark.slow  # the second pass of .ci/run has it
settled = changing_data.settled  # a fixture of every test here


Change = Callable[[], object]
Situation = Callable[[Path, Path, pytest.MonkeyPatch], tuple[World, Change, str]]
"""From models, folder and patch: the world, the change of its data, and a part of the reason."""


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
        with size_and_time_kept(tar):
            write_tar(tar, swapped=True)

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
                with size_and_time_kept(image):
                    image.write_bytes(contents[(at + 1) % len(NAMES)])

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
        with size_and_time_kept(path):
            save_map(path, 12)

    return world, change, "annotations of 'voc2012' changed since (1: VOC2012/JPEGImages/1.jpg)"


SITUATIONS: list[Situation] = [
    *(new_time, old_time, moved_link, in_a_tar, in_parquet, in_a_coop_set),
    *(renamed_class, reordered, new_template, training_image, validation_image, masks),
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


def test_another_box_file_makes_another_cell(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a COCO file says, the sizes of images too, is part of the key."""
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    listed = tmp_path / coco.Coco.annotations
    listed.parent.mkdir(parents=True)
    (tmp_path / coco.Coco.images).mkdir(parents=True)

    def write(height: int) -> None:
        image = {"id": 1, "file_name": "1.bmp", "height": height, "width": SIDE}
        box = {"image_id": 1, "category_id": 1, "bbox": [2, 2, 28, 28], "iscrowd": 0}
        listed.write_text(json.dumps({"images": [image], "annotations": [box]}))

    write(SIDE)
    noise("red_square", 0).save(tmp_path / coco.Coco.images / "1.bmp")
    world = World(
        models,
        tmp_path / "w",
        methods=("fixed",),
        datasets=("coco",),
        tasks=("detection:suite=coop,source=toy,proposals=true",),
    )
    first = world.run()
    assert world.plan()[0].state == "done"
    with size_and_time_kept(listed):
        write(12)
    assert world.plan()[0].state == "todo"
    second = world.run()
    assert second.key != first.key
    assert second.measured() == world.elsewhere(tmp_path / "e").run().measured()
    assert second.measured() != first.measured(), "the change must matter"


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
