"""ImageNet-21K in the layout that POMP's users have, in miniature."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rppbench.cli import main
from rppbench.contracts import data_root
from rppbench.errors import MissingDataError
from rppbench.plugins.registry import Registry
from rppbench.testing import check_dataset
from rppbench_datasets import imagenet21k
from rppbench_datasets.imagenet21k import TRAIN, VAL, ImageNet21K

WNIDS = {"n00005787": "benthos", "n00007846": "person", "n03764276": "military vehicle"}
FALL_ONLY = "n09505153"


def add(root: Path, part: str, wnid: str, images: int) -> None:
    folder = root / "imagenet21k_resized" / part / wnid
    folder.mkdir(parents=True)
    for number in range(images):
        pixels = np.full((224, 224, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{wnid}_{number}.JPEG")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "data"
    for wnid in WNIDS:
        add(root, TRAIN, wnid, 3)
        add(root, VAL, wnid, 2)
    (root / "imagenet21k_resized" / "imagenet21k_small_classes" / "n00000001").mkdir(parents=True)
    (root / "imagenet21k_resized" / "imagenet21k_miil_tree.pth").write_bytes(b"a pickle")
    monkeypatch.setenv("RPPBENCH_DATA", str(root))
    return root


def test_the_data_root_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPPBENCH_DATA", "~/mine")
    monkeypatch.setenv("DATA", "/theirs")
    assert data_root() == Path.home() / "mine"
    monkeypatch.delenv("RPPBENCH_DATA")
    assert data_root() == Path("/theirs")
    monkeypatch.delenv("DATA")
    assert data_root() == Path("data")


def test_classes_are_the_folders_with_their_first_words(root: Path) -> None:
    data = ImageNet21K()
    assert dict(zip(data.wnids, data.classes, strict=True)) == WNIDS
    train = data.samples("train")
    assert len(train) == 9
    assert train[3].key == f"{TRAIN}/n00007846/n00007846_0.JPEG"
    assert [sample.label for sample in train] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert list(data.samples("val")) == list(data.samples("test"))
    assert {sample.key.split("/")[0] for sample in data.samples("test")} == {VAL}
    check_dataset(ImageNet21K)


def test_nothing_is_written_under_a_root_that_may_not_be_written(root: Path) -> None:
    before = sorted(root.rglob("*"))
    folders = [root, *(path for path in before if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    ImageNet21K()
    for folder in folders:
        folder.chmod(0o755)
    assert sorted(root.rglob("*")) == before


def test_the_fingerprint_is_of_the_images_and_not_of_their_place(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ImageNet21K().fingerprint()
    moved = root.rename(root.with_name("moved"))
    monkeypatch.setenv("RPPBENCH_DATA", str(moved))
    assert ImageNet21K().fingerprint() == first
    (moved / "imagenet21k_resized" / VAL / "n00005787" / "n00005787_1.JPEG").unlink()
    assert ImageNet21K().fingerprint() != first


def test_it_is_the_large_source_of_its_suite(root: Path) -> None:
    assert Registry.load().source("coop", large=True) == "imagenet21k"


def test_missing_data_is_refused_with_what_to_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    with pytest.raises(MissingDataError) as caught:
        ImageNet21K()
    assert str(tmp_path / "imagenet21k_resized" / TRAIN) in str(caught.value)
    assert "processed winter 2021 release" in str(caught.value)


def test_fall_2011_is_recognised_and_refused(root: Path) -> None:
    for part in (TRAIN, VAL):
        add(root, part, FALL_ONLY, 1)
    with pytest.raises(MissingDataError) as caught:
        ImageNet21K()
    assert "has 4 classes, among them n09505153: this is the processed fall 2011" in str(
        caught.value
    )
    assert "never mixed" in str(caught.value)


def test_folders_of_neither_release_are_refused(root: Path) -> None:
    add(root, TRAIN, "n00000001", 1)
    add(root, VAL, "n00000001", 1)
    with pytest.raises(MissingDataError, match="n00000001, which the release does not have"):
        ImageNet21K()


@pytest.mark.parametrize(("lacking", "has"), [(VAL, TRAIN), (TRAIN, VAL)])
def test_classes_that_only_one_part_has_are_named(root: Path, lacking: str, has: str) -> None:
    add(root, has, "n00015388", 1)
    with pytest.raises(MissingDataError, match=rf"{lacking} lacks n00015388$"):
        ImageNet21K()


class Trap:
    """An object that fails the test if it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("the file was run",))


def test_without_timm_names_are_those_of_the_tree(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_timm = ImageNet21K()
    monkeypatch.setattr(imagenet21k, "find_spec", lambda name: None)
    tree = root / "imagenet21k_resized" / "imagenet21k_miil_tree.pth"
    names = {wnid: name.replace(" ", "_") for wnid, name in WNIDS.items()}
    content = {"class_list": list(names), "class_description": names, "class_tree_list": [[0, 1]]}
    torch.save(content, tree)
    data = ImageNet21K()
    assert data.classes == with_timm.classes
    assert data.fingerprint() == with_timm.fingerprint()
    del names["n00007846"]
    torch.save(content, tree)
    with pytest.raises(MissingDataError, match=r"lacks: n00007846$"):
        ImageNet21K()


@pytest.mark.parametrize("hostile", [b"not a torch file", Trap()])
def test_a_tree_that_holds_code_is_refused_and_not_run(
    root: Path, monkeypatch: pytest.MonkeyPatch, hostile: Any
) -> None:
    monkeypatch.setattr(imagenet21k, "find_spec", lambda name: None)
    tree = root / "imagenet21k_resized" / "imagenet21k_miil_tree.pth"
    if isinstance(hostile, bytes):
        tree.write_bytes(hostile)
    else:
        torch.save({"class_description": {**WNIDS, "n1": hostile}}, tree)
    with pytest.raises(MissingDataError, match="only plain data is taken"):
        ImageNet21K()


def test_without_timm_it_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet21k, "find_spec", lambda name: None)
    (root / "imagenet21k_resized" / "imagenet21k_miil_tree.pth").unlink()
    with pytest.raises(MissingDataError, match=r"pip install 'rppbench\[data\]'"):
        ImageNet21K()


def test_a_broken_image_is_named(root: Path) -> None:
    data = ImageNet21K()
    sample = data.samples("test")[0]
    (root / "imagenet21k_resized" / sample.key).write_bytes(b"no JPEG")
    with pytest.raises(MissingDataError, match=r"cannot read image .*n00005787_0\.JPEG"):
        data.image(sample)


def test_timms_tables_are_read_without_timm(root: Path) -> None:
    before = "timm" in sys.modules
    ImageNet21K()
    assert ("timm" in sys.modules) == before


def test_check_counts_and_names_the_variant(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check() -> tuple[int, str]:
        return main(["data", "check", "imagenet21k", "--read"]), capsys.readouterr().out

    status, out = check()
    assert (status, out.startswith("imagenet21k: wrong count")) == (1, True)
    assert "3 classes, not 10,450" in out
    assert "has 9 images, not 11,060,223" in out
    monkeypatch.setattr(ImageNet21K, "size", 3)
    monkeypatch.setattr(ImageNet21K, "counts", {"train": 9, "val": 6, "test": 6})
    status, out = check()
    assert (status, out.startswith("imagenet21k: present")) == (0, True)
    assert "processed winter 2021 release" in out
    for part in (TRAIN, VAL):
        add(root, part, FALL_ONLY, 1)
    status, out = check()
    assert (status, out.startswith("imagenet21k: wrong variant")) == (1, True)
    assert "fall 2011" in out
