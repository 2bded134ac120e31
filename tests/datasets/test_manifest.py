"""The manifest of many images: what it lists, when it is rebuilt, and what it costs."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rppbench.contracts.dataset import Sample
from rppbench.data.few_shot import few_shot
from rppbench.errors import MissingDataError, UsageError
from rppbench_datasets import manifest as module
from rppbench_datasets.manifest import Manifest, ScannedFolder, open_manifest, write_manifest

LONG_AGO = 1_000_000_000


def settle(root: Path) -> None:
    """Set the folders' time stamps to long ago."""
    for number, folder in enumerate(sorted(path for path in root.rglob("*") if path.is_dir())):
        os.utime(folder, (LONG_AGO + number, LONG_AGO + number))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in (
        "b/2.JPEG",
        "b/10.jpeg",
        "a/ü.PNG",
        "a/.hidden.png",
        "a/notes.txt",
        "a/x.jpg/y.jpg",
    ):
        (root / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "train" / name).touch()
    (root / "train" / "empty").mkdir()
    (root / "train" / ".git").mkdir()
    (root / "val" / "a").mkdir(parents=True)
    (root / "val" / "a" / "1.webp").touch()
    settle(root)
    return root


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders whose files are listed."""
    seen: list[str] = []
    scan = module._scan

    def recording(root: Path, path: str, stamp: int) -> ScannedFolder:
        seen.append(path)
        return scan(root, path, stamp)

    monkeypatch.setattr(module, "_scan", recording)
    return seen


def keys(index: Manifest) -> list[str]:
    labels = {folder.path: label for label, folder in enumerate(index.folders)}
    return [sample.key for sample in index.samples(labels)]


def test_images_are_listed_by_folder_and_name(root: Path) -> None:
    index = open_manifest(root, ("val", "train"))
    assert [(folder.path, folder.count) for folder in index.folders] == [
        ("val/a", 1),
        ("train/a", 1),
        ("train/b", 2),
        ("train/empty", 0),
    ]
    assert keys(index) == ["val/a/1.webp", "train/a/ü.PNG", "train/b/10.jpeg", "train/b/2.JPEG"]


def test_samples_are_a_sequence(root: Path) -> None:
    samples = open_manifest(root, ("train",)).samples({"train/a": 7, "train/b": 3, "train/gone": 1})
    listed = list(samples)
    assert listed == [
        Sample("train/a/ü.PNG", 7),
        Sample("train/b/10.jpeg", 3),
        Sample("train/b/2.JPEG", 3),
    ]
    assert [samples[at] for at in (2, 0, 1, -1)] == [listed[at] for at in (2, 0, 1, -1)]
    assert samples[1:] == listed[1:]
    for outside in (3, -4):
        with pytest.raises(IndexError):
            samples[outside]


def test_unchanged_folders_are_not_listed_again(root: Path, scanned: list[str]) -> None:
    first = open_manifest(root, ("train", "val"))
    assert len(scanned) == 4
    again = open_manifest(root, ("train", "val"))
    assert len(scanned) == 4
    assert (keys(again), again.digest) == (keys(first), first.digest)


def test_only_folders_that_changed_are_listed_again(root: Path, scanned: list[str]) -> None:
    first = open_manifest(root, ("train",))
    scanned.clear()
    (root / "train" / "b" / "3.png").touch()
    os.utime(root / "train" / "b", (LONG_AGO + 500, LONG_AGO + 500))
    index = open_manifest(root, ("train",))
    assert scanned == ["train/b"]
    assert keys(index)[-1] == "train/b/3.png"
    assert index.digest != first.digest
    (root / "train" / "empty").rmdir()
    assert [folder.path for folder in open_manifest(root, ("train",)).folders] == [
        "train/a",
        "train/b",
    ]
    assert scanned == ["train/b"]


def test_a_folder_that_has_just_changed_is_not_trusted(root: Path, scanned: list[str]) -> None:
    """Within one tick of the clock another file would leave the same time stamp."""
    open_manifest(root, ("val",))
    (root / "val" / "a" / "2.png").touch()
    now = time.time_ns()
    os.utime(root / "val" / "a", ns=(now, now))
    open_manifest(root, ("val",))
    (root / "val" / "a" / "3.png").touch()
    os.utime(root / "val" / "a", ns=(now, now))
    assert len(keys(open_manifest(root, ("val",)))) == 3


def test_time_stamps_are_no_part_of_the_digest(root: Path) -> None:
    first = open_manifest(root, ("train",))
    for folder in (root / "train").iterdir():
        os.utime(folder, (LONG_AGO + 900, LONG_AGO + 900))
    assert open_manifest(root, ("train",)).digest == first.digest


@pytest.mark.parametrize("damage", [b"", b"rppbench manifest 1\n", b"\xff" * 300, None])
def test_a_damaged_index_is_rebuilt(root: Path, damage: bytes | None) -> None:
    first = open_manifest(root, ("train",))
    whole = first.file.read_bytes()
    first.file.write_bytes(whole[:-30] if damage is None else damage)
    assert keys(open_manifest(root, ("train",))) == [
        "train/a/ü.PNG",
        "train/b/10.jpeg",
        "train/b/2.JPEG",
    ]


def test_nothing_is_written_under_the_root_and_roots_do_not_mix(root: Path, tmp_path: Path) -> None:
    before = sorted(root.rglob("*"))
    other = tmp_path / "other"
    (other / "train" / "a").mkdir(parents=True)
    one, two = open_manifest(root, ("train",)), open_manifest(other, ("train",))
    assert sorted(root.rglob("*")) == before
    assert one.file != two.file
    assert one.file.is_relative_to(tmp_path / "rppbench-cache")
    assert [path.suffix for path in one.file.parent.iterdir()] == [".manifest", ".manifest"]


def test_a_worker_that_is_sent_an_index_opens_it(root: Path) -> None:
    samples = open_manifest(root, ("train",)).samples({"train/b": 0})
    assert list(pickle.loads(pickle.dumps(samples))) == list(samples)


def test_a_missing_part_is_named(root: Path) -> None:
    with pytest.raises(MissingDataError, match=r"cannot list .*root/test: No such file"):
        open_manifest(root, ("train", "test"))


def test_a_name_that_is_not_utf8_is_named(root: Path) -> None:
    wrong = os.fsencode(root / "train" / "a") + b"/caf\xe9.png"
    try:
        open(wrong, "wb").close()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(MissingDataError, match=r"train/a is not UTF-8: b'caf\\xe9\.png'"):
        open_manifest(root, ("train",))


def test_a_cache_that_cannot_be_written_is_an_error_for_the_user(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="set RPPBENCH_CACHE to a folder that can be written"):
        open_manifest(root, ("train",))


def test_an_interrupted_scan_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[ScannedFolder]:
        yield ScannedFolder("train/a", 1, b"1.png\0")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_manifest(tmp_path / "cache" / "x.manifest", broken())
    assert not list((tmp_path / "cache").iterdir())


def test_many_images_open_at_once_and_keep_little_in_memory(tmp_path: Path) -> None:
    """200,000 entries; `benchmarks/manifest.py` does the same with 11 million."""
    folders = [f"train/n{number:08}" for number in range(2000)]
    names = b"".join(b"n00000000_%07d.JPEG\0" % number for number in range(100))
    write_manifest(tmp_path / "many", (ScannedFolder(path, 1, names) for path in folders))
    assert (tmp_path / "many").stat().st_size < 25 * 200_000
    started = time.perf_counter()
    index = Manifest(tmp_path / "many")
    samples = index.samples({path: label for label, path in enumerate(folders)})
    assert len(samples) == 200_000
    assert samples[123_456] == Sample("train/n00001234/n00000000_0000056.JPEG", 1234)
    assert time.perf_counter() - started < 1.0  # milliseconds; far less than reading them all
    drawn = few_shot(samples, 2, 1)
    assert len(drawn) == 4000
    assert drawn == few_shot(list(samples), 2, 1)
