"""One's own images without code: what is listed, what is refused, and runs on them."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pluggy
import pytest
from PIL import Image
from support.toy_plugin import ToyPlugin, save_tiny

import rppbench_datasets
import rppbench_tasks
from rppbench.cli import main
from rppbench.contracts.dataset import Dataset
from rppbench.errors import MissingDataError, UsageError
from rppbench.execution import engines
from rppbench.planning.plan import cells
from rppbench.planning.request import Request
from rppbench.plugins import hookspecs
from rppbench.plugins.registry import Registry
from rppbench.records.store import Store
from rppbench.testing import check_dataset
from rppbench_datasets.named_by_path import resolve

COLOURS = {"red_fox": (200, 40, 30), "blue_bird": (30, 60, 210)}


def save_image(path: Path, colour: tuple[int, int, int] = (90, 90, 90)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((24, 20, 3), colour, np.uint8)).save(path)


def make(root: Path, *splits: str) -> Path:
    for split in splits:
        for name, colour in COLOURS.items():
            for number in range(2):
                save_image(root / split / name / f"{number}.png", colour)
    return root


def opened(name: str) -> Dataset:
    dataset = resolve(name)
    assert dataset is not None
    return dataset()


def lists(data: Dataset, split: str) -> list[tuple[str, int]]:
    return [(sample.key, sample.label) for sample in data.samples(split)]


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_with_splits(tmp_path: Path) -> None:
    root = make(tmp_path / "my birds", "train", "test")
    save_image(root / "test" / "grey_owl" / "B.JPeG")
    save_image(root / "test" / "grey_owl" / "a.png")
    (root / "test" / "grey_owl" / ".hidden.png").touch()
    (root / "test" / "grey_owl" / "notes.txt").touch()
    (root / "test" / "empty").mkdir()
    (root / "annotations").mkdir()
    data = opened(f"folder:{root}")
    assert list(data.classes) == ["blue bird", "grey owl", "red fox"]
    assert lists(data, "train") == [
        ("train/blue_bird/0.png", 0),
        ("train/blue_bird/1.png", 0),
        ("train/red_fox/0.png", 2),
        ("train/red_fox/1.png", 2),
    ]
    assert lists(data, "test")[2:4] == [("test/grey_owl/B.JPeG", 1), ("test/grey_owl/a.png", 1)]
    assert data.title == "my birds"
    with pytest.raises(UsageError, match=r"is named 'val'(.|\n)*splits: test, train"):
        data.samples("val")


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    root = make(tmp_path, "")
    save_image(root / "train" / "thomas.png")
    data = opened(f"folder:{root}?test=all")
    assert list(data.classes) == ["blue bird", "red fox", "train"]
    assert lists(data, "test")[-1] == ("train/thomas.png", 2)
    with pytest.raises(UsageError, match=r"no split of .* is named 'train'"):
        data.samples("train")


@pytest.mark.parametrize("kind", ["folder", "json"])
def test_own_data_passes_the_checks_of_any_data_set(tmp_path: Path, kind: str) -> None:
    root = make(tmp_path, "train", "test")
    path = root if kind == "folder" else listed(root)
    dataset = resolve(f"{kind}:{path}")
    assert dataset is not None
    check_dataset(dataset)
    data = dataset()
    copy = pickle.loads(pickle.dumps(data))
    assert (copy.name, copy.fingerprint()) == (data.name, data.fingerprint())


def test_the_fingerprint_sees_images_names_and_labels_but_not_the_place(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", "test"), make(tmp_path / "two", "test")
    seen = {opened(f"folder:{one}").fingerprint()}
    assert opened(f"folder:{two}").fingerprint() in seen

    def changed() -> bool:
        before = len(seen)
        seen.add(opened(f"folder:{two}").fingerprint())
        return len(seen) > before

    Image.new("RGB", (99, 99), (1, 2, 3)).save(two / "test" / "red_fox" / "0.png")
    assert changed(), "an image was replaced under its name"
    (two / "test" / "red_fox" / "1.png").unlink()
    assert changed(), "an image is gone"
    (two / "test" / "red_fox").rename(two / "test" / "red_dog")
    assert changed(), "a class has another name"


@pytest.mark.parametrize("content", ["nothing", "no folder", "a file"])
def test_a_folder_without_images_is_refused_with_the_expected_layout(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "x"
    if content == "nothing":
        (path / "train").mkdir(parents=True)
    elif content == "a file":
        path.touch()
    with pytest.raises(MissingDataError, match=r"train/<class>/\*"):
        opened(f"folder:{path}")


def test_a_broken_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    root = make(tmp_path, "test")
    (root / "test" / "red_fox" / "0.png").write_bytes(b"\x89PNG")
    data = opened(f"folder:{root}")
    with pytest.raises(MissingDataError, match=r"cannot read image .*red_fox/0\.png"):
        data.image(data.samples("test")[2])


# --- lists --------------------------------------------------------------------------------------


def listed(root: Path, **changes: Any) -> Path:
    rows = [
        [f"{name}/{number}.png", label, name]
        for label, name in ((1, "blue_bird"), (0, "red_fox"))
        for number in range(2)
    ]
    content = {
        "train": [[f"train/{path}", label, name] for path, label, name in rows],
        "test": [[f"test/{path}", label, name] for path, label, name in rows],
        **changes,
    }
    path = root / "split_mine.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return path


@pytest.mark.parametrize("place", ["", "images"])
def test_a_list_keeps_its_order_and_its_labels(tmp_path: Path, place: str) -> None:
    make(tmp_path / place, "train", "test")
    data = opened(f"json:{listed(tmp_path)}")
    assert list(data.classes) == ["red fox", "blue bird"]
    assert lists(data, "train")[0] == ("train/blue_bird/0.png", 1)
    assert data.image(data.samples("test")[0]).getpixel((0, 0)) == COLOURS["blue_bird"]
    assert data.title == "split_mine"
    with pytest.raises(UsageError, match="splits: test, train"):
        data.samples("val")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"test": {"a": 1}}, "'test' is not a list"),
        ({"trian": []}, "it has a split 'trian'"),
        ({"test": [["a.png", 0]]}, "'test' has the row"),
        ({"test": [["a.png", "0", "fox"]]}, "'test' has the row"),
        ({"test": [["a.png", True, "fox"]]}, "'test' has the row"),
        ({"test": [["a.png", -1, "fox"]]}, "'test' has the row"),
        ({"test": [["a.png", 0, "_"]]}, "'test' has the row"),
        ({"test": [["a.png", 2, "\ud800"]]}, "which is not valid text"),
        ({"test": [["../../etc/passwd", 0, "red_fox"]]}, "leads out of the folder"),
        ({"test": [["/etc/passwd", 0, "red_fox"]]}, "leads out of the folder"),
        ({"test": [["a.png", 0, "wolf"]]}, "label 0 is both 'red_fox' and 'wolf'"),
        (
            {"test": [["a.png", 5, "wolf"]]},
            "labels must count from 0 without gaps, but there is no 2",
        ),
        ({"test": [["a.png", 0, "red_fox"]] * 2}, "'test' has an image twice"),
        ({"test": [["a.png", 0, "red_fox"]]}, r"1 of 5 images are not in .*: a\.png"),
        ({"train": None, "test": []}, "no images"),
    ],
)
def test_an_invalid_list_is_refused_with_the_place(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    make(tmp_path, "train", "test")
    with pytest.raises(MissingDataError, match=expected):
        opened(f"json:{listed(tmp_path, **changes)}")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 200_000, b"[]", None])
def test_a_file_that_is_not_a_list_is_refused_with_the_expected_content(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MissingDataError, match=r"x\.json should hold \{'train'"):
        opened(f"json:{path}")


# --- names --------------------------------------------------------------------------------------


def test_other_names_resolve_to_nothing() -> None:
    assert resolve("demo-2-animals") is None
    assert resolve("ftp:/somewhere") is None
    assert resolve("tests") is None


def test_one_place_has_one_name_and_one_class() -> None:
    dataset = resolve("folder:/x/y")
    assert dataset is not None
    assert dataset.name == "folder:/x/y"
    assert resolve("folder:/x/y/") is dataset
    assert resolve("folder:/x//y") is dataset


def test_a_path_may_start_at_home_and_hold_any_character(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path / "a,b=c:d ü", "test")
    data = opened("folder:~/a,b=c:d ü")
    assert data.name == "folder:~/a,b=c:d ü", "records do not say whose home it is"
    assert len(data.samples("test")) == 4


def test_a_bare_path_is_refused_with_its_name(tmp_path: Path) -> None:
    make(tmp_path, "train", "test")
    with pytest.raises(UsageError, match=f"is written folder:{tmp_path}"):
        resolve(str(tmp_path))
    with pytest.raises(UsageError, match="is written json:"):
        resolve(str(listed(tmp_path)))
    with pytest.raises(UsageError, match="names no path"):
        resolve("folder:")


# --- runs ---------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which toys, the shipped data sets and tasks are installed."""
    save_tiny(tmp_path / "models")
    manager = pluggy.PluginManager("rppbench")
    manager.add_hookspecs(hookspecs)
    for plugin in (ToyPlugin(tmp_path / "models"), rppbench_datasets, rppbench_tasks, engines):
        manager.register(plugin)
    registry = Registry(manager)
    monkeypatch.setattr(Registry, "load", lambda: registry)
    monkeypatch.chdir(tmp_path)
    return tmp_path


Plan = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def plan(place: Path) -> Plan:
    """Plans a request: (data set that is scored, source that is learned on) of each cell."""

    def planned(
        *datasets: str,
        method: str = "context",
        tasks: tuple[str, ...] = ("cross-dataset:suite=toy",),
        **more: Any,
    ) -> list[tuple[str, str]]:
        request = Request((method,), tasks, datasets, backbone="tiny", **more)
        return [
            (cell.dataset, cell.training.source if cell.training else "")
            for cell in cells(Registry.load(), request)
        ]

    return planned


def test_own_data_is_one_more_transfer_set(plan: Plan) -> None:
    assert plan("toy-one", "folder:/x/") == [("toy-one", "toy"), ("folder:/x", "toy")]
    assert plan("folder:/x", "folder:/x/") == [("folder:/x", "toy")]
    assert plan() == [("toy-one", "toy"), ("toy-two", "toy")]


def test_a_task_that_learns_where_it_scores_learns_on_own_data(plan: Plan) -> None:
    assert plan("folder:/x", tasks=("few-shot:suite=toy",)) == [("folder:/x", "folder:/x")]


def test_a_set_of_another_suite_is_one_more_transfer_set(plan: Plan) -> None:
    assert plan("demo-2-plain") == [("demo-2-plain", "toy")]


def test_a_set_that_a_chosen_task_scores_anyway_is_left_to_it(plan: Plan) -> None:
    tasks = ("cross-dataset:suite=toy", "pretraining:suite=toy")
    assert plan("toy", tasks=tasks) == [("toy", "toy")]
    assert plan("toy", tasks=tasks[:1]) == [("toy", "toy")], "no task scores it of its own"


def test_a_task_without_transfer_sets_scores_no_other_data(plan: Plan) -> None:
    with pytest.raises(
        UsageError, match=r"no chosen task scores data set 'folder:/x'; scored: toy$"
    ):
        plan("folder:/x", tasks=("pretraining:suite=toy",))


def test_own_data_can_be_learned_on(plan: Plan) -> None:
    task = "cross-dataset:suite=toy,source=folder:/x/y/,shots=1"
    assert plan("toy-one", tasks=(task,)) == [("toy-one", "folder:/x/y")]
    assert plan(tasks=("pretraining:source=folder:/x",)) == [("folder:/x", "folder:/x")]


def test_a_comma_in_a_path_goes_with_set(plan: Plan) -> None:
    for path in ("/a,b", "/a,b=c"):
        with pytest.raises(UsageError, match="a value with a comma is given as --set"):
            plan("toy-one", tasks=(f"cross-dataset:suite=toy,source=folder:{path}",))
    settings = (("source", "folder:/a,b=c"),)
    assert plan("toy-one", settings=settings) == [("toy-one", "folder:/a,b=c")]


def test_an_unknown_source_is_refused_at_once(plan: Plan) -> None:
    with pytest.raises(UsageError, match="no data set is named 'foldr:/x'"):
        plan("toy-one", tasks=("cross-dataset:suite=toy,source=foldr:/x",))


@pytest.mark.parametrize(
    ("datasets", "task"),
    [
        (("folder:/x",), "cross-dataset:suite=toy"),
        (("json:/x.json",), "few-shot:suite=toy"),
        (("wds:/x",), "cross-dataset:suite=toy"),
        (("hf:/x",), "cross-dataset:suite=toy"),
        (("toy-one",), "cross-dataset:suite=toy,source=folder:/x"),
    ],
)
def test_own_data_is_never_scored_with_a_backbone_that_nobody_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, datasets: tuple[str, ...], task: str
) -> None:
    registry, request = Registry.load(), Request(("context",), (task,), datasets)
    monkeypatch.setattr(registry, "default_backbone", lambda: registry.get("backbones", "tiny"))
    with pytest.raises(UsageError, match=r"needs a backbone: name one, --model(.|\n)*--model tiny"):
        cells(registry, request)
    assert cells(registry, replace(request, backbone="tiny"))
    toys = replace(request, tasks=("cross-dataset:suite=toy",), datasets=("toy-one",))
    assert cells(registry, toys)[0].backbone == "tiny", "only own data need a name"


def test_a_run_learns_and_scores_on_own_data(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(place / "birds", "train", "test")
    make(place / "holiday", "")
    words = ["run", "--method", "fixed", "context", "--model", "tiny", "--num-workers", "1"]
    words += ["--task", "cross-dataset:suite=toy,source=folder:birds"]
    words += ["--dataset", "folder:holiday?test=all", "folder:gone", "toy-one"]
    assert main(words) == 1
    page, messages = capsys.readouterr()
    assert "| Method | Toy one | gone | holiday?test=all | Average of 3 |" in page
    assert "4 done, 0 had a record, 2 failed" in messages
    records, _ = Store(place / "runs").all()
    failures = {record.failure.kind for record in records if record.failure}
    assert failures == {"missing-data"}
    sources = {record.cell.training.source for record in records if record.cell.training}
    assert sources == {"folder:birds"}
    texts = [path.read_text() for path in (place / "runs").rglob("*.json")]
    assert not any(os.fspath(place / "birds") in text for text in texts), "as it was written"


def test_info_describes_own_data(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(place / "birds", "test")
    assert main(["info", "folder:birds"]) == 0
    page = capsys.readouterr().out
    assert "folder:birds (data set): birds" in page
    assert "classes: 2" in page


# --- nothing is left out in silence -------------------------------------------------------------


def test_all_that_a_folder_holds_besides_its_samples_is_counted(tmp_path: Path) -> None:
    root = make(tmp_path / "set", "train", "test")
    (root / "test" / "red_fox" / "3.heic").touch()
    (root / "test" / "red_fox" / "4.png.crdownload").touch()
    (root / "train" / "red_fox" / "gone.png").symlink_to(tmp_path / "gone.png")
    (root / "test" / "red_fox" / "Thumbs.db").touch()
    save_image(root / "test" / "loose.png")
    (root / "test" / "loose.heic").touch()
    save_image(root / "test" / "red_fox" / "more" / "5.png")
    (root / "train" / "yak").mkdir()
    make(root, "valid")
    data = opened(f"folder:{root}")
    assert list(data.remarks()) == [
        f"{data.name}: folders beside train, val and test, which are not read: 1 (valid/)",
        f"{data.name}: files in class folders that are not read as images: 3 "
        "(train/red_fox/gone.png, test/red_fox/3.heic, test/red_fox/4.png.crdownload)",
        f"{data.name}: class folders without images: 1 (train/yak/)",
        f"{data.name}: images beside the class folders, without a class: 2 "
        "(test/loose.png, test/loose.heic)",
        f"{data.name}: folders inside class folders, which are not looked into: 1 "
        "(test/red_fox/more/)",
    ]
    assert len(data.samples("test")) == 4


def test_a_complete_folder_has_no_remarks(tmp_path: Path) -> None:
    assert list(opened(f"folder:{make(tmp_path / 'set', 'train', 'test')}").remarks()) == []


@pytest.mark.parametrize(("one", "two"), [("Cat", "cat"), ("black_cat", "black cat")])
def test_a_class_in_two_spellings_is_refused_with_the_pair(
    tmp_path: Path, one: str, two: str
) -> None:
    for split, name in (("train", one), ("test", two), ("train", "yak"), ("test", "yak")):
        save_image(tmp_path / split / name / "0.png")
    with pytest.raises(MissingDataError, match="are one class in two spellings") as caught:
        opened(f"folder:{tmp_path}")
    assert f"train/{one}" in str(caught.value)
    assert f"test/{two}" in str(caught.value)


def test_two_classes_of_one_split_are_two_however_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Cat", "cat", "yak"):
        save_image(tmp_path / "set" / name / "0.png", (len(name), 0, 0))
    words = ["--method", "zeroshot", "--dataset", f"folder:{tmp_path}/set?test=all"]
    words += ["--model", "demo"]
    assert main(["plan", *words, "--output", str(tmp_path / "out")]) == 0
    assert "no prompt can tell their classes apart: 'Cat' and 'cat'" in capsys.readouterr().err


def test_plan_says_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(tmp_path / "set", "test")
    (root / "test" / "red_fox" / "3.heic").touch()
    words = ["--method", "zeroshot", "--dataset", f"folder:{root}", "--model", "demo"]
    assert main(["plan", *words, "--output", str(tmp_path / "out")]) == 0
    assert "not read as images: 1 (test/red_fox/3.heic)" in capsys.readouterr().err


def test_a_list_says_which_test_images_are_trained_on_and_which_are_in_no_list(
    tmp_path: Path,
) -> None:
    make(tmp_path, "images")
    rows = {
        "train": [["images/red_fox/0.png", 0, "red_fox"]],
        "test": [["images/red_fox/0.png", 0, "red_fox"], ["images/blue_bird/0.png", 1, "bird"]],
    }
    (tmp_path / "lists.json").write_text(json.dumps(rows))
    data = opened(f"json:{tmp_path}/lists.json")
    assert [text.partition(": ")[2] for text in data.remarks()] == [
        "images of 'test' that are in another split too: 1 (images/red_fox/0.png)"
    ]
    assert [finding.text.partition(": ")[2] for finding in data.findings()] == [
        "images in the folders of listed ones that are in no list: 2 "
        "(images/blue_bird/1.png, images/red_fox/1.png)"
    ]
