"""Data sets of CLIP_benchmark in the files that torchvision reads, on small copies."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from support.roots import torchvision_root
from support.roots.torchvision_root import EACH, KINDS, MADE

from rppbench.errors import MissingDataError
from rppbench.plugins.registry import Registry
from rppbench.testing import check_dataset
from rppbench_datasets.synonyms import usual_name


@pytest.mark.parametrize("name", MADE)
def test_a_small_copy_keeps_the_contract(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchvision_root.make(tmp_path, name, monkeypatch)
    check_dataset(KINDS[name])
    data = KINDS[name]()
    size = len(data.classes)
    for split in data.splits:
        labels = [sample.label for sample in data.samples(split)]
        assert sorted(labels) == [label for label in range(size) for _ in range(EACH[split])]
    again = pickle.loads(pickle.dumps(data))
    sample = data.samples("test")[-1]
    assert again.image(sample) == data.image(sample)


@pytest.mark.parametrize("name", KINDS)
def test_the_facts_are_complete(name: str) -> None:
    kind = KINDS[name]
    assert kind.template.count("{}") == 1
    assert set(kind.counts) == set(kind.splits) >= {"train", "test"}
    assert len(set(kind.names)) == kind.size
    assert (kind.suite, kind.role) == ("clip-benchmark", "transfer")


def test_names_are_in_the_order_of_the_labels_in_the_files() -> None:
    """FER2013's .csv files have 'neutral' last; in folders it comes before 'sad'."""
    assert KINDS["fer2013"].names[3:] == ("happy", "sad", "surprised", "neutral")


@pytest.mark.parametrize("name", KINDS)
def test_absent_files_say_what_to_put_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    with pytest.raises(MissingDataError) as caught:
        KINDS[name]()
    nothing, advice = str(caught.value).splitlines()
    assert nothing.startswith(f"{name}: nothing at {tmp_path / name / KINDS[name].holds} or ")
    assert str(tmp_path / name) in advice
    assert (KINDS[name].sources[0].url or KINDS[name].origin) in advice
    assert KINDS[name].lacks(tmp_path) == KINDS[name].sources


def test_a_file_that_is_not_the_published_one_is_never_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        torchvision_root.make(tmp_path, "cifar10", patch)
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(pickle, "load", lambda *a, **k: pytest.fail("it was unpickled"))
    with pytest.raises(MissingDataError, match=r"incomplete or damaged\nunpack https://"):
        KINDS["cifar10"]().samples("test")


def test_a_copy_may_lie_in_the_root_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_root.make(tmp_path, "mnist", monkeypatch)
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path / "mnist"))
    assert len(KINDS["mnist"]().samples("test")) == 10
    assert KINDS["mnist"].lacks(tmp_path / "mnist") == ()


def test_labels_and_pixels_are_those_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchvision_root.make(tmp_path, "stl10", monkeypatch)
    data = KINDS["stl10"]()
    raw = np.fromfile(tmp_path / "stl10/stl10_binary/test_X.bin", np.uint8)
    image = data.image(data.samples("test")[3])
    # The file is column-major: (image, channel, column, row).
    assert (np.asarray(image) == raw.reshape(-1, 3, 96, 96)[3].transpose(2, 1, 0)).all()
    torchvision_root.make(tmp_path, "svhn", monkeypatch)
    assert [sample.label for sample in KINDS["svhn"]().samples("test")] == list(range(10))


def test_changed_pixels_and_labels_change_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchvision_root.make(tmp_path, "mnist", monkeypatch)
    before = KINDS["mnist"]().fingerprint()
    for file in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        path = tmp_path / "mnist/MNIST/raw" / file
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        after = KINDS["mnist"]().fingerprint()
        assert after != before
        before = after


def test_an_incomplete_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_root.make(tmp_path, "rendered-sst2", monkeypatch)
    (tmp_path / "rendered-sst2/rendered-sst2/train/positive/2.png").unlink()
    with pytest.raises(MissingDataError, match="has 3 'train' images, not 4"):
        KINDS["rendered-sst2"]().samples("train")


def test_pcam_without_h5py_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    (tmp_path / "pcam").mkdir()
    with pytest.raises(MissingDataError, match="pip install h5py"):
        KINDS["pcam"]().samples("test")


@pytest.mark.parametrize(
    ("typed", "usual"),
    [
        ("imagenet1k", "imagenet"),
        ("ImageNet1k", "imagenet"),
        ("imagenet-a", "imagenet_a"),
        ("imagenet-sketch", "imagenet_sketch"),
        ("cars", "stanford_cars"),
        ("vtab/eurosat", "eurosat"),
        ("vtab/pets", "oxford_pets"),
        ("vtab/cifar100", "cifar100"),
        ("renderedsst2", "rendered-sst2"),
    ],
)
def test_names_of_clip_benchmark_are_those_of_data_sets_here(typed: str, usual: str) -> None:
    assert usual_name(typed) == usual
    assert Registry.load().get("datasets", typed).name == usual
