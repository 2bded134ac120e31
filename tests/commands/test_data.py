"""`rppbench data`: what it says of data that is there, that is not, and that is half there."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from support.commands import table_rows
from support.roots.coop_root import FAMILY, KINDS, Make, split_of

from rppbench.cli import main
from rppbench.plugins.registry import Registry
from rppbench_datasets.coop.dtd import DescribableTextures
from rppbench_datasets.coop.stanford_cars import StanfordCars


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["data", *words])
    return status, *capsys.readouterr()


def complete(root: Path, name: str) -> None:
    """All images of the lists, which the small roots leave out."""
    for entries in split_of(name).values():
        for path, _, _ in entries:
            file = root / KINDS[name].folder / KINDS[name].images / path
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 8), (10, 20, 30)).save(file, "JPEG")


def test_someone_without_data_learns_what_to_fetch_and_where_to_put_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, "check")
    assert status == 1
    for kind in KINDS.values():
        assert f"{kind.name}: missing" in out
        for source in kind.sources:
            assert str(tmp_path / "no-data" / source.gives) in out
            assert all(a.removeprefix("drive:") in out for a in source.addresses)
    assert "offline since 2023" in out
    assert "demo" not in out, "data that needs no files is not asked for"


def test_a_complete_set_is_present(
    small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small("dtd")
    complete(tmp_path / "root", "dtd")
    status, out, _ = run(capsys, "check", "dtd", "--read")
    assert status == 0
    assert out.startswith("dtd: present (")
    assert "all decoded" in out


@pytest.mark.parametrize("name", FAMILY)
def test_folders_of_class_folders_are_present(
    name: str, small: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    small(name)
    assert run(capsys, "check", name)[0] == 0


def test_missing_images_are_counted_and_the_first_five_named(
    small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small("dtd")  # has the test images, and the first of the others
    status, out, _ = run(capsys, "check", "dtd")
    assert status == 1
    total = len(split_of("dtd")["train"])
    assert f"{total - 1:,} of {total:,} 'train' images are missing" in out
    assert sum(line.startswith("    ") for line in out.splitlines()) == 10, "five of train and val"


def test_an_image_that_cannot_be_read_is_found_by_reading(
    small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small("dtd")
    complete(tmp_path / "root", "dtd")
    broken = next((tmp_path / "root/dtd/images/banded").iterdir())
    broken.write_bytes(broken.read_bytes()[:80])
    assert run(capsys, "check", "dtd")[0] == 0
    status, out, _ = run(capsys, "check", "dtd", "--read", "--workers", "2")
    assert status == 1
    assert out.startswith("dtd: unreadable")
    assert str(broken) in out


def test_a_wrong_count_and_a_wrong_order_are_called_so(
    small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small("dtd")
    file = tmp_path / "root/dtd" / DescribableTextures.split_file
    split = json.loads(file.read_text())
    file.write_text(json.dumps(split | {"test": split["test"][1:]}))
    assert run(capsys, "check", "dtd")[1].startswith("dtd: wrong count")
    swapped = {s: [[p, 1 - label, c] for p, label, c in rows] for s, rows in split.items()}
    file.write_text(json.dumps(swapped))
    assert run(capsys, "check", "dtd")[1].startswith("dtd: wrong class order")


@pytest.mark.parametrize("content", ["[" * 100_000, "{", '{"train": 1}', "\ud800"])
def test_a_hostile_split_file_is_unreadable_and_no_traceback(
    content: str, small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small("dtd")
    file = tmp_path / "root/dtd" / DescribableTextures.split_file
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    status, out, err = run(capsys, "check", "dtd")
    assert (status, err) == (1, "")
    assert out.startswith("dtd: unreadable")


def test_a_known_split_file_is_recognised(
    small: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import hashlib

    small("dtd")
    complete(tmp_path / "root", "dtd")
    assert "has another sha256" in run(capsys, "check", "dtd")[1]
    file = tmp_path / "root/dtd" / DescribableTextures.split_file
    known = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    monkeypatch.setattr(DescribableTextures, "split_sha256", known)
    assert "is the published one" in run(capsys, "check", "dtd")[1]


@pytest.mark.parametrize("layout", ["cars_{0}/cars_{0}/{2}", "car_data/car_data/{0}/{1}/{2}"])
def test_renamed_copies_of_the_cars_fit_the_split_file(
    layout: str, small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = small("stanford_cars").fingerprint()
    complete(tmp_path / "root", "stanford_cars")
    home = tmp_path / "root/stanford_cars"
    for rows in split_of("stanford_cars").values():
        for path, _, called in rows:
            year, _, model = called.partition(" ")
            part, _, file = path.removeprefix("cars_").partition("/")
            to = home / layout.format(part, f"{model} {year}", f"_{file}")
            to.parent.mkdir(parents=True, exist_ok=True)
            os.rename(home / path, to)
    for to in list(home.rglob("_*.jpg")):
        to.rename(to.with_name(to.name[1:]))
    for name in ("cars_train", "cars_test"):
        if "car_data" in layout:
            (home / name).rmdir()
    assert run(capsys, "check", "stanford_cars", "--read")[0] == 0
    data = StanfordCars()
    assert data.fingerprint() == usual
    assert data.image(data.samples("train")[3]).size == (9, 8)


def test_images_that_were_numbered_anew_are_not_taken_for_the_set(
    small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small("stanford_cars")
    home = tmp_path / "root/stanford_cars"
    for part in ("train", "test"):
        other = home / "car_data" / "car_data" / part / "Some other car 2001"
        other.parent.mkdir(parents=True, exist_ok=True)
        os.rename(home / f"cars_{part}", other)
    status, out, _ = run(capsys, "check", "stanford_cars")
    assert status == 1
    assert "missing" in out


def test_a_list_says_what_is_there(
    small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of a detection set, and of a folder that is empty."""
    small("dtd")
    root = tmp_path / "root"
    complete(root, "dtd")

    def present(name: str) -> str:
        rows = {row[0]: row for row in table_rows(run(capsys, "list")[1])}
        return rows[name][4]

    assert [present(name) for name in ("dtd", "eurosat", "lvis_minival")] == ["yes", "no", "no"]
    (root / "eurosat" / "2750").mkdir(parents=True)
    (root / "lvis").mkdir()
    (root / "lvis" / "lvis_v1_minival_inserted_image_name.json").write_text("{}")
    assert [present(name) for name in ("eurosat", "lvis_minival")] == ["no", "yes"]


def test_an_export_has_the_layout_of_clip_benchmark(
    small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = small("dtd")
    to = tmp_path / "tars"
    words = ("export", "dtd", "--format", "webdataset", "--to", str(to), "--split", "test")
    assert run(capsys, *words)[0] == 0
    assert (to / "classnames.txt").read_text().splitlines() == list(data.classes)
    assert (to / "zeroshot_classification_templates.txt").read_text() == "{c} texture.\n"
    assert (to / "dataset_type.txt").read_text() == "zeroshot_classification\n"
    assert (to / "test" / "nshards.txt").read_text() == "1\n"
    with tarfile.open(to / "test" / "0.tar") as opened:
        content = {name: opened.extractfile(name).read() for name in opened.getnames()}
    for number, sample in enumerate(data.samples("test")):
        assert content[f"s{number:07}.cls"] == str(sample.label).encode()
        assert content[f"s{number:07}.jpg"] == (tmp_path / "root" / sample.key).read_bytes()
    status, _, err = run(capsys, *words)
    assert (status, "exists" in err) == (2, True)


def test_an_export_is_read_as_the_same_images_and_classes(
    small: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, to = small("dtd"), tmp_path / "tars"
    complete(tmp_path / "root", "dtd")
    assert run(capsys, "export", "dtd", "--format", "webdataset", "--to", str(to))[0] == 0
    assert (to / "val" / "nshards.txt").is_file()
    again = Registry.load().get("datasets", f"wds:{to}")()
    assert list(again.classes) == list(data.classes)
    assert again.template == data.template
    for split in ("train", "test"):
        one, two = data.samples(split), again.samples(split)
        assert [sample.label for sample in one] == [sample.label for sample in two]
        assert all(data.image(a) == again.image(b) for a, b in zip(one, two, strict=True))
    assert run(capsys, "check", f"wds:{to}", "--read")[0] == 0


def test_images_that_are_made_are_exported_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "own" / "ü x"
    folder.mkdir(parents=True)
    Image.new("RGB", (5, 4), (1, 2, 3)).save(folder / "A.BMP")
    to = tmp_path / "tars"
    name = f"folder:{folder.parent}?test=all"
    assert run(capsys, "export", name, "--format", "webdataset", "--to", str(to))[0] == 0
    assert (to / "classnames.txt").read_text(encoding="utf-8") == "ü x\n"
    with tarfile.open(to / "test" / "0.tar") as opened:
        file = opened.extractfile("s0000000.png")
        assert file is not None
        assert Image.open(file).getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("name", ["two\nlines", "two\rlines", " owl", ""])
def test_a_class_name_that_a_line_cannot_hold_is_not_exported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rppbench_datasets.demo.Rendered.classes", [name, "yak"])
    words = ("demo-2-animals", "--format", "webdataset", "--to", str(tmp_path / "tars"))
    assert main(["data", "export", *words]) == 2
    assert f"classnames.txt cannot hold a class called {name!r}" in capsys.readouterr().err


def test_an_index_is_made_ahead_of_time(
    small: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small("imagenet")
    status, out, _ = run(capsys, "manifest", "imagenet")
    assert status == 0
    files = [Path(line.rpartition(" (")[0]) for line in out.splitlines()]
    assert len(files) == 2
    assert all(file.is_file() and tmp_path / "root" not in file.parents for file in files)


def test_slips_are_answered_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "dtt")[0] == 2
    status, _, err = run(capsys, "export", "dtd", "--format", "webdatset", "--to", "x")
    assert (status, "did you mean 'webdataset'" in err) == (2, True)
    assert run(capsys, "prepare", "demo-2-animals")[0] == 2
