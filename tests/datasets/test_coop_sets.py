"""CoOp's data sets on small roots in their real layout: lists, names, draws and fingerprints."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.commands import table_rows
from support.roots.coop_root import (
    FAMILY,
    FLOWERS,
    FOLDERS,
    KINDS,
    LISTED,
    NAMES,
    WNIDS,
    Make,
    everything,
    open_set,
    split_of,
    write_names,
    write_split,
)

from rppbench.cli import main
from rppbench.contracts import data_root
from rppbench.contracts.dataset import Sample
from rppbench.data.few_shot import few_shot, few_shot_with_val
from rppbench.errors import MissingDataError, UsageError
from rppbench.plugins.registry import Registry
from rppbench.testing import check_dataset

TRANSFER = ["caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101"]
TRANSFER += ["fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101"]


def tree(folder: Path) -> list[tuple[str, int, int]]:
    """Everything below a folder, with sizes and times."""
    return sorted(
        (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")
    )


# --- facts --------------------------------------------------------------------------------------


def test_the_suite_has_a_source_ten_transfer_sets_and_four_shifts() -> None:
    registry = Registry.load()
    assert registry.names("coop", "transfer") == TRANSFER
    assert registry.names("coop", "shift") == FAMILY[1:]
    assert registry.source("coop", large=False) == "imagenet"
    assert not KINDS["imagenet"].large


def test_counts_add_up_to_the_images_that_all_test_sets_have() -> None:
    assert sum(kind.counts["test"] for kind in KINDS.values()) == 232_085
    # Data sets that CoOp divides completely: the size of the complete data set.
    complete = {"oxford_pets": 7349, "stanford_cars": 16_185, "oxford_flowers": 8189, "dtd": 5640}
    complete |= {"food101": 101_000, "eurosat": 27_000, "ucf101": 13_320, "fgvc_aircraft": 10_000}
    assert {name: sum(KINDS[name].counts.values()) for name in complete} == complete
    assert KINDS["food101"].counts["test"] == 101 * 300
    assert KINDS["sun397"].counts == {"train": 397 * 40, "val": 397 * 10, "test": 397 * 50}


def test_the_table_of_the_sets_says_what_the_readers_expect() -> None:
    page = (Path(__file__).parents[2] / "datasets" / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    table = {row[0].strip("`"): row for row in rows if row and row[0].strip("`") in KINDS}
    assert list(table) == list(KINDS)
    for name, (_, role, layout, counts) in table.items():
        kind = KINDS[name]
        images = [kind.counts.get(split) for split in ("train", "val", "test")]
        assert counts == " / ".join("–" if n is None else f"{n:,}" for n in images), name
        assert role == kind.role
        assert layout.startswith(f"`{kind.folder}/")
        assert getattr(kind, "split_file", "") in layout
        assert kind.paper
        assert kind.origin.startswith("http")


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_every_set_passes_the_checks_and_does_not_change_its_root(
    name: str, small: Make, tmp_path: Path
) -> None:
    small(name)
    cache = tmp_path / "root" / KINDS[name].folder / "split_fewshot"
    cache.mkdir()
    (cache / "shot_1-seed_1.pkl").write_bytes(pickle.dumps(Trap()))  # CoOp would trust it
    before = tree(tmp_path / "root")
    check_dataset(KINDS[name])
    data = open_set(name)
    for split in data.counts:
        assert len(data.samples(split)) == data.counts[split]
        key = data.samples(split)[0].key
        assert key.startswith(f"{data.folder}/")
        assert (tmp_path / "root" / key).is_file()
    if "train" in data.counts:
        few_shot(data.samples("train"), 1, 1)
    assert tree(tmp_path / "root") == before


class Trap:
    """An object that fails the test if it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was read from the data root",))


def test_class_names_have_spaces_and_the_published_order(small: Make) -> None:
    for name, folders in FOLDERS.items():
        names = [called.replace("_", " ") for _, called in folders]
        assert list(small(name).classes) == names, name
    assert small("oxford_pets").classes == [
        *("abyssinian", "american bulldog", "bengal", "yorkshire terrier")
    ]
    assert small("oxford_flowers").classes == FLOWERS
    assert small("stanford_cars").classes[2] == "2012 Audi TTS Coupe"
    assert small("fgvc_aircraft").classes == ["707-320", "Boeing 717", "F-16A/B"]
    assert small("imagenet").classes == NAMES


def test_lists_keep_the_order_of_the_split_file(small: Make) -> None:
    split = split_of("oxford_flowers")
    data = small("oxford_flowers")
    for part, entries in split.items():
        expected = [Sample(f"oxford_flowers/jpg/{path}", label) for path, label, _ in entries]
        assert data.samples(part) == expected
    assert [sample.label for sample in data.samples("train")][:1] == [2]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
def test_draws_equal_those_of_coop(shots: int, seed: int, small: Make) -> None:
    """Against a plain reference: the global stream, seeded once, train and then val."""
    for name in LISTED:
        data = small(name)
        state = random.getstate()
        random.seed(seed)
        expected = []
        for part, count in (("train", shots), ("val", min(shots, 4))):
            groups: dict[int, list[str]] = {}
            for path, label, _ in split_of(name)[part]:
                groups.setdefault(label, []).append(path)
            expected.append(
                [
                    (path, label)
                    for label, group in groups.items()
                    for path in (random.sample(group, count) if len(group) >= count else group)
                ]
            )
        random.setstate(state)
        drawn = few_shot_with_val(data.samples("train"), data.samples("val"), shots, seed)
        top = "/".join(filter(None, (KINDS[name].folder, KINDS[name].images)))
        for samples, known in zip(drawn, expected, strict=True):
            pairs = [(s.key.removeprefix(f"{top}/"), s.label) for s in samples]
            assert pairs == known, name
        assert few_shot(data.samples("train"), shots, seed) == drawn[0]


def test_aircraft_use_the_lists_of_the_data_set(small: Make) -> None:
    data = small("fgvc_aircraft")
    assert data.samples("val")[:2] == [
        Sample("fgvc_aircraft/images/0000010.jpg", 2),
        Sample("fgvc_aircraft/images/0000011.jpg", 0),
    ]


def test_imagenet_is_listed_sorted_and_images_only(
    small: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: sorted(listed(folder), reverse=True))
    keys = [sample.key for sample in small("imagenet").samples("train")]
    top = f"imagenet/images/train/{WNIDS[0]}"
    assert keys[:3] == [f"{top}/train_a_10.JPEG", f"{top}/train_a_2.JPEG", f"{top}/train_b.JPEG"]
    assert keys == sorted(keys)
    with pytest.raises(UsageError, match="no split of imagenet is named 'val'"):
        open_set("imagenet").samples("val")


def test_a_subset_of_imagenet_ranks_its_own_classes(small: Make) -> None:
    data = small("imagenet_r")
    assert list(data.classes) == NAMES[1::2]
    labels = {sample.key.split("/")[2]: sample.label for sample in data.samples("test")}
    assert labels == {wnid: label for label, wnid in enumerate(WNIDS[1::2])}


def test_imagenetv2_folders_are_numbers(small: Make) -> None:
    data = small("imagenetv2")
    labels = {int(s.key.split("/")[2]): s.label for s in data.samples("test")}
    assert labels == {label: label for label in range(len(WNIDS))}
    assert list(data.classes) == NAMES


def test_the_class_names_of_imagenet_serve_its_shifts(small: Make, tmp_path: Path) -> None:
    small("imagenet_sketch")
    (tmp_path / "root" / "imagenet-sketch" / "classnames.txt").unlink()
    with pytest.raises(MissingDataError, match=r"no file .*/imagenet/classnames\.txt"):
        open_set("imagenet_sketch")
    write_names(tmp_path / "root" / "imagenet")
    assert list(open_set("imagenet_sketch").classes) == NAMES


def test_annotations_of_pets_are_only_missing_without_a_split_file(tmp_path: Path) -> None:
    home = tmp_path / "oxford_pets"
    (home / "images").mkdir(parents=True)
    (home / "images/one.jpg").touch()
    pets = Registry.load().get("datasets", "oxford_pets")
    assert [source.gives.rpartition("/")[2] for source in pets.lacks(tmp_path)] == [
        "annotations",
        "split_zhou_OxfordPets.json",
    ]
    (home / "split_zhou_OxfordPets.json").write_text("{}")
    assert pets.lacks(tmp_path) == []


# --- images -------------------------------------------------------------------------------------


def odd_images(folder: Path) -> dict[str, Path]:
    """Files of many modes, all named .jpg as in the wild."""
    pixels = np.arange(20 * 14 * 4, dtype=np.uint8).reshape(14, 20, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    rgb = Image.fromarray(pixels[..., :3].copy())
    images = {
        "cmyk": (Image.fromarray(pixels.copy(), "CMYK"), {"format": "JPEG"}),
        "grey": (rgb.convert("L"), {"format": "JPEG"}),
        "palette": (rgb.convert("P"), {"format": "PNG", "transparency": 3}),
        "alpha": (Image.fromarray(pixels.copy(), "RGBA"), {"format": "PNG"}),
        "bilevel": (rgb.convert("1"), {"format": "PNG"}),
        "exif": (rgb, {"format": "JPEG", "exif": exif}),
    }
    for name, (picture, options) in images.items():
        picture.save(folder / f"{name}.jpg", **options)
    return {name: folder / f"{name}.jpg" for name in images}


def test_images_of_any_mode_are_rgb_as_coop_reads_them(small: Make, tmp_path: Path) -> None:
    data = small("dtd")
    folder = tmp_path / "root" / "dtd" / "images"
    for name, path in odd_images(folder).items():
        image = data.image(Sample(f"dtd/images/{name}.jpg", 0))
        assert (image.mode, image.size) == ("RGB", (20, 14)), name  # EXIF does not rotate it
        assert image == Image.open(path).convert("RGB"), name


def test_images_that_cannot_be_decoded_are_named(small: Make, tmp_path: Path) -> None:
    data = small("dtd")
    sample = data.samples("test")[0]
    path = tmp_path / "root" / sample.key
    complete = path.read_bytes()
    for content in (b"", b"no image", complete[: len(complete) // 2]):
        path.write_bytes(content)
        with pytest.raises(MissingDataError) as caught:
            data.image(sample)
        assert f"cannot read image {path}" in str(caught.value)
    path.unlink()
    with pytest.raises(MissingDataError, match="no image"):
        data.image(sample)


# --- identity -----------------------------------------------------------------------------------


def test_a_fingerprint_covers_lists_labels_and_names_but_not_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(split: Any) -> None:
        split["test"][0], split["test"][1] = split["test"][1], split["test"][0]

    def moved(split: Any) -> None:
        split["train"][0][0], split["val"][0][0] = split["val"][0][0], split["train"][0][0]

    def relabelled(split: Any) -> None:
        split["val"][0], split["val"][-1] = (
            [split["val"][0][0], split["val"][-1][1], split["val"][-1][2]],
            [split["val"][-1][0], split["val"][0][1], split["val"][0][2]],
        )

    def renamed(split: Any) -> None:
        for entry in everything(split):
            entry[2] = entry[2].replace("pink", "red")

    fingerprints = []
    for number, change in enumerate((lambda _: None, swapped, moved, relabelled, renamed)):
        split = split_of("oxford_flowers")
        change(split)
        home = tmp_path / str(number) / "oxford_flowers"
        write_split(home, "oxford_flowers", split, monkeypatch)
        monkeypatch.setenv("RPPBENCH_DATA", str(home.parent))
        fingerprints.append(open_set("oxford_flowers").fingerprint())
    assert len(set(fingerprints)) == len(fingerprints)
    (tmp_path / "0").rename(tmp_path / "other")
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path / "other"))
    assert open_set("oxford_flowers").fingerprint() == fingerprints[0]


# --- the data root ------------------------------------------------------------------------------


def test_the_root_is_named_by_the_first_variable_that_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RPPBENCH_DATA", "/one")
    monkeypatch.setenv("DATA", "~/two")
    assert data_root() == Path("/one")
    monkeypatch.setenv("RPPBENCH_DATA", "")
    assert data_root() == Path.home() / "two"
    monkeypatch.delenv("DATA")
    assert data_root() == Path("data")


PLAN = ("plan", "--method", "zeroshot", "--task", "cross-dataset:suite=coop")


def test_plan_blocks_only_what_is_missing(
    small: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("dtd", "fgvc_aircraft"):
        small(name)
    monkeypatch.setenv("RPPBENCH_DATA", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert main([*PLAN, "--data", "root"]) == 0
    rows = table_rows(capsys.readouterr().out)
    states = {row[2]: row[4] for row in rows if row[:2] == ["zeroshot", "cross-dataset"]}
    assert list(states) == TRANSFER
    assert {name for name, state in states.items() if state == "todo"} == {"dtd", "fgvc_aircraft"}
    assert {states[name] for name in set(TRANSFER) - {"dtd", "fgvc_aircraft"}} == {"blocked"}
    assert os.environ["RPPBENCH_DATA"] == str(tmp_path / "root")  # which workers inherit


def test_a_missing_data_folder_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PLAN, "--data", "/nowhere"]) == 2
    assert "--data: no folder /nowhere" in capsys.readouterr().err


def test_a_run_scores_what_is_there_and_says_what_is_missing(
    small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    small("dtd")
    monkeypatch.chdir(tmp_path)
    words = ["run", *PLAN[1:], "--data", "root", "--dataset", "dtd", "food101"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "DTD" in shown.out
    assert "food101: no folder" in shown.err
    assert str(tmp_path / "root" / "food-101") in shown.err
