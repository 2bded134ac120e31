"""One data set in every format: equal classes, labels, pixels and draws; refusals."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from rppbench.contracts.dataset import Dataset
from rppbench.data.few_shot import few_shot
from rppbench.errors import MissingDataError, UsageError
from rppbench.testing import check_dataset
from rppbench_datasets import huggingface, webdataset_archives
from rppbench_datasets.named_by_path import resolve

CLASSES = ["blue_bird", "red fox", "yak"]
WDS = "wds:{}"


def opened(name: str) -> Dataset:
    dataset = resolve(name)
    assert dataset is not None
    return dataset()


def content(split: str, label: int, number: int) -> bytes:
    """The bytes of a JPEG, different for every image."""
    rng = np.random.default_rng([len(split), label, number])
    pixels = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


ROWS = [
    (split, label, number)
    for split, count in (("train", 5), ("test", 2))
    for label in range(len(CLASSES))
    for number in range(count)
]


def folder(root: Path) -> str:
    for split, label, number in ROWS:
        path = root / split / CLASSES[label] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(split, label, number))
    return f"folder:{root}"


def listed(root: Path) -> str:
    folder(root)
    rows: dict[str, list[Any]] = {"train": [], "test": []}
    for split, label, number in ROWS:
        name = CLASSES[label]
        rows[split].append([f"{split}/{name}/{number}.jpg", label, name])
    (root / "split.json").write_text(json.dumps(rows))
    return f"json:{root}/split.json"


def archives(root: Path, shards: int = 2) -> str:
    """Written by the webdataset library, in CLIP_benchmark's layout."""
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        (root / split / "nshards.txt").write_text(f"{shards}\n")
        rows = [row for row in ROWS if row[0] == split]
        per = -(-len(rows) // shards)
        for shard in range(shards):
            with webdataset.TarWriter(str(root / split / f"{shard}.tar")) as writer:
                for at, row in enumerate(rows[shard * per : (shard + 1) * per]):
                    key = f"s{shard * per + at:07}"
                    sample = {"__key__": key, "jpg": content(*row), "cls": row[1]}
                    writer.write({**sample, "pkl": pickle.dumps(Trap()), "txt": "a note"})
    (root / "classnames.txt").write_text("\n".join(CLASSES) + "\n")
    (root / "zeroshot_classification_templates.txt").write_text("a drawing of a {c}.\n")
    (root / "dataset_type.txt").write_text("zeroshot_classification\n")
    return WDS.format(root)


def tables(root: Path, parquet: bool = False, **more: Any) -> str:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"photo": datasets.Image(), "kind": datasets.ClassLabel(names=CLASSES), **more}
    )
    splits = {}
    for split in ("train", "test"):
        rows = [row for row in ROWS if row[0] == split]
        columns = {
            "photo": [{"bytes": content(*row), "path": None} for row in rows],
            "kind": [row[1] for row in rows],
            **{name: [row[1] for row in rows] for name in more},
        }
        splits[split] = datasets.Dataset.from_dict(columns, features=features)
    if parquet:
        root.mkdir()
        for split, table in splits.items():
            table.to_parquet(root / f"{split}-00000-of-00001.parquet")
    else:
        datasets.DatasetDict(splits).save_to_disk(root)
    return f"hf:{root}"


class Trap:
    """An object that fails the test if it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was read",))


MAKERS = [folder, listed, archives, tables, lambda root: tables(root, parquet=True)]
IDS = ["folder", "json", "wds", "hf", "parquet"]


@pytest.mark.parametrize("make", MAKERS, ids=IDS)
def test_every_format_gives_the_same_classes_labels_pixels_and_draws(
    make: Any, tmp_path: Path
) -> None:
    name = make(tmp_path / "set")
    before = sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "set").rglob("*"))
    data = opened(name)
    assert list(data.classes) == ["blue bird", "red fox", "yak"]
    for split in ("train", "test"):
        rows = [row for row in ROWS if row[0] == split]
        samples = data.samples(split)
        assert [sample.label for sample in samples] == [row[1] for row in rows]
        for sample, row in zip(samples, rows, strict=True):
            assert data.image(sample) == Image.open(io.BytesIO(content(*row))).convert("RGB")
    train = list(data.samples("train"))
    reference = opened(folder(tmp_path / "reference"))
    plain = list(reference.samples("train"))
    drawn = [train.index(sample) for sample in few_shot(train, 2, 1)]
    assert drawn == [plain.index(sample) for sample in few_shot(plain, 2, 1)]
    dataset = resolve(name)
    assert dataset is not None
    check_dataset(dataset)
    copy = pickle.loads(pickle.dumps(data))
    assert copy.fingerprint() == data.fingerprint()
    assert sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "set").rglob("*")) == before


# --- archives -----------------------------------------------------------------------------------


def test_an_archive_is_indexed_once_and_again_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = archives(tmp_path / "set")
    first = opened(name).fingerprint()
    monkeypatch.setattr(
        webdataset_archives.tarfile, "open", lambda *a, **k: pytest.fail("read again")
    )
    assert opened(name).fingerprint() == first
    monkeypatch.undo()
    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "rppbench-cache"))
    write(tmp_path / "set/test/1.tar", ("x.png", b"a"), ("x.cls", b"2"))
    assert opened(name).fingerprint() != first


def test_names_of_clip_benchmark_lie_below_the_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    resolve.cache_clear()
    archives(tmp_path / "wds_vtab-one")
    archives(tmp_path / "wds/vtab/two")
    for name in ("wds/vtab/one", "wds/vtab/two"):
        data = opened(name)
        assert (data.name, data.title, len(data.samples("test"))) == (name, name[4:], 6)
        assert data.template == "a drawing of a {}."
    with pytest.raises(MissingDataError, match=r"no folder .*wds_imagenet1k"):
        opened("wds/imagenet1k")
    with pytest.raises(UsageError, match="not a data set of CLIP_benchmark"):
        resolve("wds/../etc")


def write(path: Path, *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(data), "/etc/passwd"
            archive.addfile(member, io.BytesIO(data))


def test_members_that_lead_out_are_read_in_place_and_never_written(tmp_path: Path) -> None:
    name = archives(tmp_path / "set", shards=1)
    write(
        tmp_path / "set/test/0.tar", ("../../out.jpg", content(*ROWS[0])), ("../../out.cls", b"0")
    )
    data = opened(name)
    assert data.image(data.samples("test")[0]).size == (30, 20)
    assert not list(tmp_path.rglob("out*"))


def test_links_in_an_archive_are_no_images(tmp_path: Path) -> None:
    name = archives(tmp_path / "set", shards=1)
    write(tmp_path / "set/test/0.tar", ("a.jpg", b""), kind=tarfile.SYMTYPE)
    assert len(opened(name).samples("test")) == 0


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([("a.jpg", b"x")], r"1 of 1 images have no label: a\.cls is missing"),
        (
            [("a.jpg", b"x"), ("a.cls", b"1"), ("b.cls", b"1"), ("b.heic", b""), ("c.cls", b"0")],
            r"2 of 3 labels have no image of a format that is read; the first ones: b\.heic",
        ),
        ([("a.jpg", b"x"), ("a.cls", b"three")], "holds 'three', which is not a label"),
        ([("a.jpg", b"x"), ("a.cls", b"3")], "has label 3, classnames.txt has 3 names"),
        ([("a.jpg", b"x"), ("a.cls", b"1" * 99)], "says it has 99 bytes"),
        ([("a.jpg", b"x"), ("a.cls", b"1"), ("a.jpg", b"y")], r"has 'a\.jpg' twice"),
    ],
)
def test_an_invalid_archive_is_refused_with_the_place(
    tmp_path: Path, members: list[tuple[str, bytes]], expected: str
) -> None:
    name = archives(tmp_path / "set", shards=1)
    write(tmp_path / "set/test/0.tar", *members)
    with pytest.raises(MissingDataError, match=expected):
        opened(name)


def test_an_image_that_is_said_to_be_huge_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset_archives, "MAX_IMAGE_BYTES", 10)
    with pytest.raises(MissingDataError, match="says it has"):
        opened(archives(tmp_path / "set"))


@pytest.mark.parametrize("content", [b"no archive", b"\x1f\x8b" + b"0" * 600])
def test_a_file_that_is_not_an_archive_is_named(tmp_path: Path, content: bytes) -> None:
    name = archives(tmp_path / "set", shards=1)
    (tmp_path / "set/test/0.tar").write_bytes(content)
    with pytest.raises(MissingDataError, match=r"0\.tar cannot be read as an archive"):
        opened(name)


@pytest.mark.parametrize("number", ["", "x", "0", "-1", "9" * 30])
def test_a_number_of_archives_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    name = archives(tmp_path / "set")
    (tmp_path / "set/test/nshards.txt").write_text(number)
    with pytest.raises(MissingDataError, match=r"nshards\.txt holds"):
        opened(name)


def test_an_archive_that_nshards_does_not_count_is_refused(tmp_path: Path) -> None:
    name = archives(tmp_path / "set", shards=2)
    (tmp_path / "set/test/nshards.txt").write_text("1")
    with pytest.raises(MissingDataError, match=r"nshards\.txt says 1, but 2 archives are there"):
        opened(name)


def test_archives_outside_the_splits_and_unused_wordings_are_named(tmp_path: Path) -> None:
    name = archives(tmp_path / "set", shards=1)
    root = tmp_path / "set"
    (root / "valid").mkdir()
    (root / "valid/0.tar").write_bytes((root / "test/0.tar").read_bytes())
    (root / "zeroshot_classification_templates.txt").write_text("a {c}.\nmy {c}.\n")
    assert [text.removeprefix(f"{name}: ") for text in opened(name).remarks()] == [
        "unused wordings ('a photo of a {}.' is used): 2 (a {c}., my {c}.)",
        "folders beside train, val and test, which are not read: 1 (valid)",
    ]
    (root / "test/nshards.txt").unlink()
    with pytest.raises(MissingDataError, match=r"test has archives, but no nshards\.txt"):
        opened(name)


@pytest.mark.parametrize("separator", ["\u2028", "\x0c", "\x85"])
def test_class_names_are_one_a_line_of_the_format(tmp_path: Path, separator: str) -> None:
    name = archives(tmp_path / "set")
    (tmp_path / "set/classnames.txt").write_text(
        f"blue{separator}bird\r\nred fox\r\nyak\r\n\r\n", encoding="utf-8", newline=""
    )
    assert list(opened(name).classes) == [f"blue{separator}bird", "red fox", "yak"]


def test_an_empty_line_among_class_names_is_refused(tmp_path: Path) -> None:
    name = archives(tmp_path / "set")
    (tmp_path / "set/classnames.txt").write_text("blue bird\n\nred fox\nyak\n")
    with pytest.raises(MissingDataError, match="line 2 is empty"):
        opened(name)


def test_captions_are_no_classes(tmp_path: Path) -> None:
    name = archives(tmp_path / "set")
    (tmp_path / "set/dataset_type.txt").write_text("retrieval")
    with pytest.raises(MissingDataError, match="says 'retrieval'"):
        opened(name)


# --- Hugging Face -------------------------------------------------------------------------------


def test_where_two_columns_are_labels_one_is_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    name = tables(tmp_path / "set", fine=datasets.ClassLabel(names=["a", "b", "c"]))
    with pytest.raises(MissingDataError, match=r"2 columns are a ClassLabel; .*\?label=COLUMN"):
        opened(name)
    assert list(opened(f"{name}?label=fine").classes) == ["a", "b", "c"]
    with pytest.raises(UsageError, match="did you mean 'fine'"):
        opened(f"{name}?label=fines")
    with pytest.raises(UsageError, match="option of hf: is named 'lable'"):
        opened(f"{name}?lable=fine")


def test_splits_and_files_that_are_not_read_are_named(tmp_path: Path) -> None:
    name = tables(tmp_path / "set", parquet=True)
    (tmp_path / "set/extra.parquet").write_bytes(b"")
    assert [text.removeprefix(f"{name}: ") for text in opened(name).remarks()] == [
        "parquet files that are not named after a split: 1 (extra.parquet)"
    ]
    datasets = pytest.importorskip("datasets")
    saved = tmp_path / "saved"
    tables(saved)
    opened_again = dict(datasets.load_from_disk(str(saved)))
    opened_again["unsupervised"] = opened_again["train"]
    datasets.DatasetDict(opened_again).save_to_disk(tmp_path / "more")
    assert [text.partition(": ")[2] for text in opened(f"hf:{tmp_path}/more").remarks()] == [
        "splits that are not read: 1 (unsupervised)"
    ]


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "find_spec", lambda name: None)
    with pytest.raises(MissingDataError, match=r"pip install 'rppbench\[hf\]'"):
        opened(f"hf:{tmp_path}")


def test_a_folder_that_is_no_data_set_of_hugging_face_says_what_would_be(tmp_path: Path) -> None:
    for name in (f"hf:{tmp_path}", f"hf:{tmp_path}/none"):
        with pytest.raises(MissingDataError, match="save_to_disk, a folder of parquet"):
            opened(name)


def test_an_image_that_is_only_a_path_is_not_opened(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.ClassLabel(names=["a"])}
    )
    rows = {"image": [{"bytes": None, "path": "/etc/passwd"}], "label": [0]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(MissingDataError, match="is a path, not bytes in the table"):
        opened(f"hf:{tmp_path}")
