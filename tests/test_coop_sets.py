"""CoOp's sets on small roots in their real layout: lists, names, draws, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coop_root import (
    CARS,
    FAMILY,
    FLOWERS,
    FOLDERS,
    KINDS,
    LISTED,
    NAMES,
    WNIDS,
    make,
    open_set,
    split_of,
    write_names,
    write_split,
)
from PIL import Image
from scipy.io import savemat

from rppbench.cli import main
from rppbench.contracts import Sample
from rppbench.errors import MissingDataError, UsageError
from rppbench.plugins import Registry
from rppbench.splits import few_shot, few_shot_with_val
from rppbench.testing import check_dataset
from rppbench_datasets import root
from rppbench_datasets.coop.files import OnDisk

Make = Callable[[str], OnDisk]
TRANSFER = ["caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101"]
TRANSFER += ["fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes the small root of a set and opens the set."""
    return lambda name: make(tmp_path / "root", name, monkeypatch)


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
    # Sets that CoOp divides completely: the size of the whole data set.
    whole = {"oxford_pets": 7349, "stanford_cars": 16_185, "oxford_flowers": 8189, "dtd": 5640}
    whole |= {"food101": 101_000, "eurosat": 27_000, "ucf101": 13_320, "fgvc_aircraft": 10_000}
    assert {name: sum(KINDS[name].counts.values()) for name in whole} == whole
    assert KINDS["food101"].counts["test"] == 101 * 300
    assert KINDS["sun397"].counts == {"train": 397 * 40, "val": 397 * 10, "test": 397 * 50}


def test_the_table_of_the_sets_says_what_the_readers_expect() -> None:
    page = (Path(__file__).parents[1] / "datasets" / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    table = {row[0].strip("`"): row for row in rows if row and row[0].strip("`") in KINDS}
    assert list(table) == list(KINDS)
    for name, (_, role, layout, counts) in table.items():
        kind = KINDS[name]
        found = [kind.counts.get(split) for split in ("train", "val", "test")]
        assert counts == " / ".join("–" if n is None else f"{n:,}" for n in found), name
        assert role == kind.role
        assert layout.startswith(f"`{kind.folder}/")
        assert getattr(kind, "split_file", "") in layout
        assert kind.paper
        assert kind.origin.startswith("http")


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_every_set_is_a_data_set_and_leaves_its_root_alone(
    name: str, small: Make, tmp_path: Path
) -> None:
    small(name)
    cache = tmp_path / "root" / KINDS[name].folder / "split_fewshot"
    cache.mkdir()
    (cache / "shot_1-seed_1.pkl").write_bytes(pickle.dumps(Trap()))  # CoOp would trust it
    before = tree(tmp_path)
    check_dataset(KINDS[name])
    data = open_set(name)
    for split in data.counts:
        assert len(data.samples(split)) == data.counts[split]
        key = data.samples(split)[0].key
        assert key.startswith(f"{data.folder}/")
        assert (tmp_path / "root" / key).is_file()
    if "train" in data.counts:
        few_shot(data.samples("train"), 1, 1)
    assert tree(tmp_path) == before


class Trap:
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
        for found, known in zip(drawn, expected, strict=True):
            assert [(s.key.removeprefix(f"{top}/"), s.label) for s in found] == known, name
        assert few_shot(data.samples("train"), shots, seed) == drawn[0]


def test_aircraft_go_by_the_lists_of_the_data(small: Make) -> None:
    data = small("fgvc_aircraft")
    assert data.samples("val")[:2] == [
        Sample("fgvc_aircraft/images/0000010.jpg", 2),
        Sample("fgvc_aircraft/images/0000011.jpg", 0),
    ]


def test_imagenet_is_listed_sorted_without_what_is_no_image(
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


# --- without a split file -----------------------------------------------------------------------


def side_files(home: Path, name: str) -> None:
    """The data's own test list in its own format."""
    tests = split_of(name)["test"]
    if name == "stanford_cars":
        matlab_files(home, tests)
        return
    if name == "oxford_pets":
        found = [f"{path[:-4]} {label + 1} 1 2" for path, label, _ in tests]
        texts = {"annotations/test.txt": ["# stem class species breed", *found][1:]}
    elif name == "sun397":
        texts = {
            "ClassName.txt": [f"/{folder}" for folder, _ in FOLDERS[name]],
            "Testing_01.txt": [f"/{path}" for path, _, _ in tests],
        }
    else:
        texts = {
            "ucfTrainTestlist/classInd.txt": [
                f"{label + 1} {called.replace('_', '')}"
                for label, (_, called) in enumerate(FOLDERS[name])
            ],
            "ucfTrainTestlist/testlist01.txt": [
                path.replace("_", "", path.split("/")[0].count("_")).replace(".jpg", ".avi")
                for path, _, _ in tests
            ],
        }
    for path, found in texts.items():
        (home / path).parent.mkdir(exist_ok=True)
        (home / path).write_text("".join(f"{line}\n" for line in found))


def matlab_files(home: Path, tests: list[list[Any]]) -> None:
    fields = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]
    lines = [(39, label + 1, Path(path).name) for path, label, _ in tests]
    savemat(home / "cars_test_annos_withlabels.mat", {"annotations": np.array([lines], fields)})
    names = [" ".join([*words[1:], words[0]]) for words in (name.split(" ") for name in CARS)]
    (home / "devkit").mkdir()
    savemat(home / "devkit" / "cars_meta.mat", {"class_names": np.array([names], object)})


@pytest.mark.parametrize("name", ["oxford_pets", "stanford_cars", "sun397", "ucf101"])
def test_official_test_lists_stand_in_for_a_split_file(
    name: str, small: Make, tmp_path: Path
) -> None:
    known = small(name)
    home = tmp_path / "root" / KINDS[name].folder
    side_files(home, name)
    assert open_set(name).samples("test") == known.samples("test")  # they agree with the split
    (home / KINDS[name].split_file).unlink()
    check_dataset(KINDS[name])
    data = open_set(name)
    assert data.samples("test") == known.samples("test")
    assert data.classes == known.classes
    for split in ("train", "val"):
        with pytest.raises(MissingDataError, match=f"no file .*{KINDS[name].split_file}"):
            data.samples(split)
    assert data.fingerprint() != known.fingerprint()


@pytest.mark.parametrize(
    ("name", "file", "damage"),
    [
        ("oxford_pets", "annotations/test.txt", b"Abyssinian_70 one 1 2\n"),
        ("oxford_pets", "annotations/test.txt", b"Abyssinian_70\n"),
        ("oxford_pets", "annotations/test.txt", b"\xff\xfe"),
        ("stanford_cars", "cars_test_annos_withlabels.mat", b"no matlab"),
        ("stanford_cars", "devkit/cars_meta.mat", b""),
        ("sun397", "ClassName.txt", b"/a/abbey\n"),
        ("sun397", "Testing_01.txt", b"/a/abbot/x.jpg\n"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", b"Hammering\n"),
        ("ucf101", "ucfTrainTestlist/testlist01.txt", b"Hamming/v.avi\n"),
    ],
)
def test_side_files_that_cannot_be_read_are_named(
    name: str, file: str, damage: bytes, small: Make, tmp_path: Path
) -> None:
    small(name)
    home = tmp_path / "root" / KINDS[name].folder
    side_files(home, name)
    (home / KINDS[name].split_file).unlink()
    (home / file).write_bytes(damage)
    with pytest.raises(MissingDataError) as caught:
        open_set(name)
    assert str(home / file) in str(caught.value)
    (home / file).unlink()
    with pytest.raises(MissingDataError):
        open_set(name)


@pytest.mark.parametrize("name", LISTED)
def test_a_split_is_never_made_anew(name: str, small: Make, tmp_path: Path) -> None:
    small(name)
    path = tmp_path / "root" / KINDS[name].folder / KINDS[name].split_file
    path.unlink()
    with pytest.raises(MissingDataError) as caught:
        open_set(name)
    assert str(path) in str(caught.value)
    assert "drawn at random" in str(caught.value)
    assert "DATASETS.md" in str(caught.value)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_data_that_is_not_there_says_where_it_was_looked_for(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError) as caught:
        open_set(name)
    assert str(tmp_path / "no-data" / KINDS[name].folder) in str(caught.value)
    assert "--data" in str(caught.value)


def refused(tmp_path: Path, patch: pytest.MonkeyPatch, name: str, change: Any) -> str:
    """What is said of a split file whose content was changed; the file is always named."""
    split = split_of(name)
    path = write_split(tmp_path / KINDS[name].folder, name, split, patch)
    patch.setenv("RPPBENCH_DATA", str(tmp_path))
    open_set(name)
    change(split)
    path.write_text(json.dumps(split))
    with pytest.raises(MissingDataError) as caught:
        open_set(name)
    assert str(path) in str(caught.value)
    return str(caught.value)


def everything(split: Any) -> list[Any]:
    """The entries of all three lists."""
    return [entry for entries in split.values() for entry in entries]


def swap(split: Any) -> None:
    """Exchange the first two labels everywhere."""
    for entry in everything(split):
        entry[1] = {0: 1, 1: 0}.get(entry[1], entry[1])


@pytest.mark.parametrize("name", ["caltech101", "oxford_pets", "food101", "dtd", "ucf101"])
def test_a_wrong_class_order_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "class order wrong" in refused(tmp_path, monkeypatch, name, swap)


def test_side_files_tell_a_wrong_class_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowers = {str(label + 1): name for label, name in enumerate(FLOWERS)}
    (tmp_path / "oxford_flowers").mkdir()
    (tmp_path / "oxford_flowers" / "cat_to_name.json").write_text(json.dumps(flowers))
    assert "label 0 is 'hard-leaved" in refused(tmp_path, monkeypatch, "oxford_flowers", swap)
    (tmp_path / "sun397").mkdir()
    side_files(tmp_path / "sun397", "sun397")
    assert "class order wrong" in refused(tmp_path, monkeypatch, "sun397", swap)


@pytest.mark.parametrize(
    ("name", "called", "expected"),
    [
        ("caltech101", "Faces", "'Faces', not 'face'"),
        ("eurosat", "AnnualCrop", "not 'Annual Crop Land'"),
        ("sun397", "abbey outdoor", "not 'abbey'"),
        ("stanford_cars", "Audi TTS Coupe 2012", "the year comes first"),
        ("oxford_flowers", "canterbury bell", "not 'canterbury bells'"),
    ],
)
def test_a_wrong_class_name_is_refused(
    name: str, called: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(split: Any) -> None:
        wrong = split["test"] if name == "oxford_flowers" else everything(split)
        label = wrong[0][1]
        for entry in wrong:
            entry[2] = called if entry[1] == label else entry[2]

    assert expected in refused(tmp_path, monkeypatch, name, change)


def test_wrong_counts_labels_and_doubles_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def more(split: Any) -> None:
        split["val"].append(["banded/new.jpg", 0, "banded"])

    def gap(split: Any) -> None:
        for entry in everything(split):
            entry[1] *= 2

    def leak(split: Any) -> None:
        split["test"][0] = list(split["train"][0])

    def truth(split: Any) -> None:
        split["test"][-1][1] = True  # which Python takes for 1

    assert "not ['polka-dotted" in refused(tmp_path / "truth", monkeypatch, "dtd", truth)
    cases = ((more, "has 11 'val' images, not 10"), (gap, "from 0 to 2"), (leak, "twice"))
    for number, (change, expected) in enumerate(cases):
        assert expected in refused(tmp_path / str(number), monkeypatch, "dtd", change)


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.jpg", "banded/../../../x.jpg", "/etc/passwd", "C:/x.jpg", "C:x.jpg"),
        *("..\\x.jpg", "\\\\host\\x.jpg", "banded\\x.jpg", "banded/\0.jpg", ""),
    ],
)
def test_a_path_that_leads_out_of_the_root_is_refused(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(split: Any) -> None:
        split["test"][1][0] = path

    assert "no path below" in refused(tmp_path, monkeypatch, "dtd", change)


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b'{"train": []',
            b"[]",
            b"null",
            b'{"train": [], "test": []}',
            b"\xff\xfe\x00",
        ),
        b"[" * 100_000,
        *(b'{"train": 3, "val": [], "test": []}', b'{"train": {"a": 1}, "val": [], "test": []}'),
        b'{"train": [["a.jpg", 0]], "val": [], "test": []}',
        b'{"train": [["a.jpg", true, "a"]], "val": [], "test": []}',
        b'{"train": [["a.jpg", 1.0, "a"]], "val": [], "test": []}',
        b'{"train": [[1, 0, "a"]], "val": [], "test": []}',
        b'{"train": [], "val": [], "test": []}',
    ],
)
def test_a_split_file_that_cannot_be_read_is_named(
    content: bytes, small: Make, tmp_path: Path
) -> None:
    small("dtd")
    path = tmp_path / "root" / "dtd" / KINDS["dtd"].split_file
    path.write_bytes(content)
    with pytest.raises(MissingDataError) as caught:
        open_set("dtd")
    assert str(path) in str(caught.value)


def test_a_renamed_folder_of_images_is_told(small: Make, tmp_path: Path) -> None:
    small("stanford_cars")
    home = tmp_path / "root" / "stanford_cars"
    (home / "cars_test").rename(home / "cars_testing")
    with pytest.raises(MissingDataError, match=r"no image .*cars_test/"):
        open_set("stanford_cars")


def test_aircraft_lists_that_do_not_fit_are_named(small: Make, tmp_path: Path) -> None:
    small("fgvc_aircraft")
    path = tmp_path / "root" / "fgvc_aircraft" / "images_variant_test.txt"
    good = path.read_text()
    for text, expected in (
        (good.replace("707-320", "707-321", 1), "'707-321'"),
        (good + "0000099\n", "the line '0000099'"),
        (good + "0000099 707-320\n", "5 'test' images, not 4"),
        (good.replace("0000020", "../0000020"), "no path below"),
    ):
        path.write_text(text)
        with pytest.raises(MissingDataError) as caught:
            open_set("fgvc_aircraft")
        assert expected in str(caught.value)
    path.unlink()
    with pytest.raises(MissingDataError, match=r"no file .*images_variant_test\.txt"):
        open_set("fgvc_aircraft")


def test_imagenet_that_is_not_whole_is_told(small: Make, tmp_path: Path) -> None:
    small("imagenet")
    home = tmp_path / "root" / "imagenet"
    write_names(home, [(wnid, name) for wnid, name in zip(WNIDS[::-1], NAMES, strict=True)])
    with pytest.raises(MissingDataError, match=r"class order wrong in .*classnames\.txt"):
        open_set("imagenet")
    write_names(home, list(zip(WNIDS, NAMES, strict=True))[1:])
    with pytest.raises(MissingDataError, match=r"classnames\.txt must hold 12 lines"):
        open_set("imagenet")
    write_names(home)
    folder = home / "images" / "val" / WNIDS[3]
    (folder / "test_b.JPEG").unlink()
    data = open_set("imagenet")
    for ask in (data.fingerprint, lambda: data.samples("test")):
        with pytest.raises(MissingDataError, match="has 35 'test' images, not 36"):
            ask()
    folder.rename(home / "elsewhere")
    with pytest.raises(MissingDataError, match=r"images/val has 11 class folders, not 12"):
        open_set("imagenet")


# --- images -------------------------------------------------------------------------------------


def odd_images(folder: Path) -> dict[str, Path]:
    """Files of many modes, all named .jpg as in the wild."""
    pixels = np.arange(20 * 14 * 4, dtype=np.uint8).reshape(14, 20, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    rgb = Image.fromarray(pixels[..., :3].copy())
    made = {
        "cmyk": (Image.fromarray(pixels.copy(), "CMYK"), {"format": "JPEG"}),
        "grey": (rgb.convert("L"), {"format": "JPEG"}),
        "palette": (rgb.convert("P"), {"format": "PNG", "transparency": 3}),
        "alpha": (Image.fromarray(pixels.copy(), "RGBA"), {"format": "PNG"}),
        "bilevel": (rgb.convert("1"), {"format": "PNG"}),
        "exif": (rgb, {"format": "JPEG", "exif": exif}),
    }
    for name, (picture, options) in made.items():
        picture.save(folder / f"{name}.jpg", **options)
    return {name: folder / f"{name}.jpg" for name in made}


def test_images_of_any_mode_are_rgb_as_coop_reads_them(small: Make, tmp_path: Path) -> None:
    data = small("dtd")
    folder = tmp_path / "root" / "dtd" / "images"
    for name, path in odd_images(folder).items():
        found = data.image(Sample(f"dtd/images/{name}.jpg", 0))
        assert (found.mode, found.size) == ("RGB", (20, 14)), name  # EXIF does not turn it
        assert found == Image.open(path).convert("RGB"), name


def test_images_that_cannot_be_decoded_are_named(small: Make, tmp_path: Path) -> None:
    data = small("dtd")
    sample = data.samples("test")[0]
    path = tmp_path / "root" / sample.key
    whole = path.read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(MissingDataError) as caught:
            data.image(sample)
        assert f"cannot decode {path}" in str(caught.value)
    path.unlink()
    with pytest.raises(MissingDataError, match="no image"):
        data.image(sample)


# --- identity -----------------------------------------------------------------------------------


def test_a_fingerprint_holds_lists_labels_and_names_and_no_place(
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

    found = []
    for number, change in enumerate((lambda _: None, swapped, moved, relabelled, renamed)):
        split = split_of("oxford_flowers")
        change(split)
        home = tmp_path / str(number) / "oxford_flowers"
        write_split(home, "oxford_flowers", split, monkeypatch)
        monkeypatch.setenv("RPPBENCH_DATA", str(home.parent))
        found.append(open_set("oxford_flowers").fingerprint())
    assert len(set(found)) == len(found)
    (tmp_path / "0").rename(tmp_path / "other")
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path / "other"))
    assert open_set("oxford_flowers").fingerprint() == found[0]


# --- the data root ------------------------------------------------------------------------------


def test_the_root_is_named_by_the_first_variable_that_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RPPBENCH_DATA", "/one")
    monkeypatch.setenv("DATA", "~/two")
    assert root.data_root() == Path("/one")
    monkeypatch.setenv("RPPBENCH_DATA", "")
    assert root.data_root() == Path.home() / "two"
    monkeypatch.delenv("DATA")
    assert root.data_root() == Path("data")


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
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    states = {words[2]: words[4] for words in lines if words[:2] == ["zeroshot", "cross-dataset"]}
    assert list(states) == TRANSFER
    assert {name for name, state in states.items() if state == "todo"} == {"dtd", "fgvc_aircraft"}
    assert {states[name] for name in set(TRANSFER) - {"dtd", "fgvc_aircraft"}} == {"blocked"}
    assert os.environ["RPPBENCH_DATA"] == str(tmp_path / "root")  # which workers inherit


def test_a_data_folder_that_is_not_there_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
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
