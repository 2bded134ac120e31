"""CoOp's data sets on roots where a file is missing or invalid: substitutes and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from support.roots.coop_root import (
    CARS,
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

from rppbench.errors import MissingDataError
from rppbench.testing import check_dataset

# --- without a split file -----------------------------------------------------------------------


def side_files(home: Path, name: str) -> None:
    """Write the test list that the data set itself comes with, in its format."""
    tests = split_of(name)["test"]
    if name == "stanford_cars":
        matlab_files(home, tests)
        return
    if name == "oxford_pets":
        lines = [f"{path[:-4]} {label + 1} 1 2" for path, label, _ in tests]
        texts = {"annotations/test.txt": ["# stem class species breed", *lines][1:]}
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
    for path, lines in texts.items():
        (home / path).parent.mkdir(exist_ok=True)
        (home / path).write_text("".join(f"{line}\n" for line in lines))


def matlab_files(home: Path, tests: list[list[Any]]) -> None:
    fields = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]
    lines = [(39, label + 1, Path(path).name) for path, label, _ in tests]
    savemat(home / "cars_test_annos_withlabels.mat", {"annotations": np.array([lines], fields)})
    names = [" ".join([*words[1:], words[0]]) for words in (name.split(" ") for name in CARS)]
    (home / "devkit").mkdir()
    savemat(home / "devkit" / "cars_meta.mat", {"class_names": np.array([names], object)})


@pytest.mark.parametrize("name", ["oxford_pets", "stanford_cars", "sun397", "ucf101"])
def test_official_test_lists_replace_a_missing_split_file(
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
def test_a_split_is_never_drawn_again(name: str, small: Make, tmp_path: Path) -> None:
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
def test_missing_data_is_refused_with_the_place(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError) as caught:
        open_set(name)
    assert str(tmp_path / "no-data" / KINDS[name].folder) in str(caught.value)
    assert "--data" in str(caught.value)


def refused(tmp_path: Path, patch: pytest.MonkeyPatch, name: str, change: Any) -> str:
    """The error for a split file whose content was changed; it always names the file."""
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


def swap(split: Any) -> None:
    """Exchange the first two labels everywhere."""
    for entry in everything(split):
        entry[1] = {0: 1, 1: 0}.get(entry[1], entry[1])


@pytest.mark.parametrize("name", ["caltech101", "oxford_pets", "food101", "dtd", "ucf101"])
def test_a_wrong_class_order_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "class order wrong" in refused(tmp_path, monkeypatch, name, swap)


def test_side_files_reveal_a_wrong_class_order(
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
        split["test"][-1][1] = True  # which equals 1 in Python

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

    assert "not a path below" in refused(tmp_path, monkeypatch, "dtd", change)


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


def test_a_renamed_folder_of_images_is_reported(small: Make, tmp_path: Path) -> None:
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
        (good.replace("0000020", "../0000020"), "not a path below"),
    ):
        path.write_text(text)
        with pytest.raises(MissingDataError) as caught:
            open_set("fgvc_aircraft")
        assert expected in str(caught.value)
    path.unlink()
    with pytest.raises(MissingDataError, match=r"no file .*images_variant_test\.txt"):
        open_set("fgvc_aircraft")


def test_an_incomplete_imagenet_is_reported(small: Make, tmp_path: Path) -> None:
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
    for use in (data.fingerprint, lambda: data.samples("test")):
        with pytest.raises(MissingDataError, match="has 35 'test' images, not 36"):
            use()
    folder.rename(home / "elsewhere")
    with pytest.raises(MissingDataError, match=r"images/val has 11 class folders, not 12"):
        open_set("imagenet")
