"""A flat folder of class folders: one split for everyone, and near-duplicates on one side."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.records import record

from rppbench.cli import main
from rppbench.contracts.dataset import Dataset
from rppbench.errors import MissingDataError, UsageError
from rppbench.leaderboard.build import build
from rppbench.planning.input_digests import InputDigests
from rppbench.plugins.registry import Registry
from rppbench.testing import check_dataset
from rppbench_datasets.flat_folder import Shares
from rppbench_datasets.named_by_path import resolve

CLASSES = ("cat", "dog")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Two classes of ten different images."""
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            blocks = generator.integers(0, 256, (8, 8, 3), np.uint8)
            image = Image.fromarray(blocks).resize((64, 64), Image.Resampling.NEAREST)
            image.save(tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


def opened(place: Path, query: str = "") -> Dataset:
    component = resolve(f"folder:{place}{query}")
    assert component is not None
    return component()


def split_of(data: Dataset, splits: tuple[str, ...] = ("train", "val", "test")) -> dict[str, str]:
    return {sample.key: split for split in splits for sample in data.samples(split)}


def counts(data: Dataset, *splits: str) -> list[dict[int, int]]:
    return [dict(Counter(sample.label for sample in data.samples(split))) for split in splits]


def test_each_class_is_split_by_the_fractions_of_coop(flat: Path) -> None:
    data = opened(flat)
    assert counts(data, "train", "val", "test") == [{0: 5, 1: 5}, {0: 2, 1: 2}, {0: 3, 1: 3}]
    assert len(split_of(data)) == 20, "no image is in two parts"
    assert list(data.remarks()) == [
        f"folder:{flat}: split by content into 10 train, 4 val, 6 test images"
    ]
    component = resolve(f"folder:{flat}")
    assert component is not None
    check_dataset(component)


def test_the_split_depends_on_content_and_not_on_names_or_places(
    flat: Path, tmp_path: Path
) -> None:
    before = split_of(opened(flat))
    copy = tmp_path / "copy"
    for name in CLASSES:
        (copy / name).mkdir(parents=True)
        for number in range(10):
            shutil.copy(flat / name / f"{number}.png", copy / name / f"image-{9 - number}.png")
    after = split_of(opened(copy))
    assert {
        f"{name}/{number}.png": after[f"{name}/image-{9 - number}.png"]
        for name in CLASSES
        for number in range(10)
    } == before


def test_shares_are_fractions_or_numbers_of_images(flat: Path) -> None:
    assert counts(opened(flat, "?train=4&val=1"), "train", "val", "test") == [
        {0: 4, 1: 4},
        {0: 1, 1: 1},
        {0: 5, 1: 5},
    ]
    assert counts(opened(flat, "?train=0.8&val=0"), "train", "test") == [{0: 8, 1: 8}, {0: 2, 1: 2}]
    assert counts(opened(flat, "?test=all"), "test") == [{0: 10, 1: 10}]
    with pytest.raises(UsageError, match="splits: test"):
        opened(flat, "?test=all").samples("train")


@pytest.mark.parametrize(
    ("images", "parts"), [(1, (1, 0)), (2, (1, 0)), (3, (2, 0)), (4, (2, 1)), (10, (5, 2))]
)
def test_a_small_class_keeps_an_image_to_learn_from_and_one_to_test_on(
    images: int, parts: tuple[int, int]
) -> None:
    assert Shares().of(images) == parts
    assert Shares(train=16, val=4).of(3) == (2, 0)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?trian=0.5", "option of folder: is named 'trian'"),
        ("?train=half", "train=half is neither a fraction below 1 nor a number of images"),
        ("?val=-1", "val=-1 is neither"),
        ("?train=0", "leaves nothing to learn on"),
        ("?train=0.8&val=0.2", "leave nothing to test on"),
        ("?test=0.2", "test takes 'all'"),
        ("?test=all&train=3", "test takes 'all'"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(flat: Path, query: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        opened(flat, query)


def test_a_folder_with_splits_takes_no_shares(flat: Path) -> None:
    shutil.copytree(flat, flat / "train")
    with pytest.raises(UsageError, match="is split into train already"):
        opened(flat, "?train=0.5")


def test_a_path_with_a_question_mark_is_a_path(flat: Path) -> None:
    shutil.move(flat, flat.parent / "what?train=1")
    assert len(opened(flat.parent / "what?train=1").samples("train")) == 10


@pytest.mark.parametrize("kind", ["equal", "jpeg", "half", "other class"])
def test_near_duplicates_are_never_on_both_sides(flat: Path, kind: str) -> None:
    keys = sorted(split_of(opened(flat)))
    for key in keys:
        image, copy = Image.open(flat / key), flat / key.replace(".png", "-copy.png")
        if kind == "equal":
            shutil.copy(flat / key, copy)
        elif kind == "jpeg":
            copy = copy.with_suffix(".jpg")
            image.save(copy, quality=60, subsampling=0)
        elif kind == "half":
            image.resize((32, 32)).save(copy)
        else:
            other = {"cat": "dog", "dog": "cat"}[key.partition("/")[0]]
            copy = flat / other / f"of-{key.replace('/', '-')}"
            shutil.copy(flat / key, copy)
    data = opened(flat)
    splits = split_of(data)
    assert len(splits) == 40
    for key in keys:
        name = key.removesuffix(".png").replace("/", "-")
        twins = [k for k in splits if k.startswith(f"{key.removesuffix('.png')}-copy")]
        twins += [k for k in splits if k.endswith(f"of-{name}.png")]
        (twin,) = twins
        assert splits[twin] == splits[key]
    assert "near-duplicates kept together: 40" in next(iter(data.remarks()))
    assert set(splits.values()) == {"train", "val", "test"}


def test_a_class_of_one_image_is_learned_and_nothing_to_test_on_is_said(tmp_path: Path) -> None:
    for name in CLASSES:
        (tmp_path / "few" / name).mkdir(parents=True)
        shade = CLASSES.index(name) * 200
        for number in range(2):  # two equal images
            file = tmp_path / "few" / name / f"{number}.png"
            Image.new("RGB", (16, 16), (shade, 0, 0)).save(file)
    with pytest.raises(MissingDataError, match=r"test on; folder:.*\?test=all takes all"):
        opened(tmp_path / "few")


def test_an_unreadable_image_does_not_stop_the_split(flat: Path) -> None:
    (flat / "cat" / "0.png").write_bytes(b"no image")
    assert len(split_of(opened(flat))) == 20


def test_a_second_start_reads_no_image_and_a_changed_file_is_read_again(
    flat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = split_of(opened(flat))
    shutil.copy(flat / "cat" / "1.png", flat / "cat" / "0.png")
    after = split_of(opened(flat))
    assert after["cat/0.png"] == after["cat/1.png"]
    monkeypatch.setattr("rppbench_datasets.image_files.read_image", None)
    assert split_of(opened(flat)) == after
    assert before.keys() == after.keys()


def test_the_rule_is_in_the_inputs_of_a_cell(flat: Path) -> None:
    digests = InputDigests(Registry.load())
    name = f"folder:{flat}"
    assert dict(digests.of(name, "demo", None))[f"split:{name}"] == (
        "train=0.5, val=0.2, by content, rule 1"
    )
    all_tested = dict(digests.of(f"{name}?test=all", "demo", None))
    assert not any(key.startswith("split:") for key in all_tested)


def test_a_table_states_the_rule_and_is_not_taken_for_two() -> None:
    one = record(dataset="folder:x")
    rule = ("split:folder:x", "train=0.5, val=0.2")
    (table,) = build([replace(one, cell=replace(one.cell, inputs=(*one.cell.inputs, rule)))])
    assert ("split of folder:x", "train=0.5, val=0.2") in [
        (name.lower(), value) for name, value in table.setting
    ]
    assert table.differences == ()


def test_a_split_is_exported_as_a_list_that_gives_the_same_images(
    flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lists" / "pets.json"
    assert main(["data", "split", f"folder:{flat}", "--to", str(file)]) == 0
    printed = capsys.readouterr().out
    name = f"json:{file}?images={flat}"
    assert name in printed.replace("\n", "")
    component = resolve(name)
    assert component is not None
    listed, data = component(), opened(flat)
    assert component.title == "pets"
    for split in ("train", "val", "test"):
        assert listed.samples(split) == data.samples(split)
    assert listed.classes == data.classes
    assert listed.image(listed.samples("test")[0]).size == (64, 64)
    assert set(json.loads(file.read_text())) == {"train", "val", "test"}
    assert main(["data", "split", f"folder:{flat}", "--to", str(file)]) == 2, "it exists"


def test_a_list_whose_named_folder_lacks_the_images_is_refused(flat: Path, tmp_path: Path) -> None:
    file = tmp_path / "pets.json"
    file.write_text(json.dumps({"test": [["cat/0.png", 0, "cat"]]}))
    component = resolve(f"json:{file}?images={tmp_path / 'nowhere'}")
    assert component is not None
    with pytest.raises(MissingDataError, match=r"1 of 1 images are not in .*nowhere"):
        component()
