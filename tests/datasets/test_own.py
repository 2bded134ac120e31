"""One's own images without code: what is listed, what is refused, and runs on them."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pluggy
import pytest
from PIL import Image
from support.toy_run import ToyPlugin, save_tiny

import rppbench_datasets
import rppbench_tasks
from rppbench.cli import main
from rppbench.contracts.dataset import Dataset
from rppbench.errors import MissingDataError, UsageError
from rppbench.execution import engines
from rppbench.planning.plan import Request, cells
from rppbench.plugins import hookspecs
from rppbench.plugins.registry import Registry
from rppbench.records.store import Store
from rppbench.testing import check_dataset
from rppbench_datasets.named import resolve

COLOURS = {"red_fox": (200, 40, 30), "blue_bird": (30, 60, 210)}


def picture(path: Path, colour: tuple[int, int, int] = (90, 90, 90)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((24, 20, 3), colour, np.uint8)).save(path)


def make(root: Path, *splits: str) -> Path:
    for split in splits:
        for name, colour in COLOURS.items():
            for number in range(2):
                picture(root / split / name / f"{number}.png", colour)
    return root


def opened(name: str) -> Dataset:
    form = resolve(name)
    assert form is not None
    return form()


def lists(data: Dataset, split: str) -> list[tuple[str, int]]:
    return [(sample.key, sample.label) for sample in data.samples(split)]


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_with_splits(tmp_path: Path) -> None:
    root = make(tmp_path / "my birds", "train", "test")
    picture(root / "test" / "grey_owl" / "B.JPeG")
    picture(root / "test" / "grey_owl" / "a.png")
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


def test_a_folder_of_classes_is_all_for_testing(tmp_path: Path) -> None:
    """Even where a class is called as a split is."""
    root = make(tmp_path, "")
    picture(root / "train" / "thomas.png")
    data = opened(f"folder:{root}")
    assert list(data.classes) == ["blue bird", "red fox", "train"]
    assert lists(data, "test")[-1] == ("train/thomas.png", 2)
    with pytest.raises(UsageError, match=r"no split of .* is named 'train'"):
        data.samples("train")


@pytest.mark.parametrize("kind", ["folder", "json"])
def test_ones_own_data_passes_what_any_data_set_must(tmp_path: Path, kind: str) -> None:
    root = make(tmp_path, "train", "test")
    path = root if kind == "folder" else listed(root)
    form = resolve(f"{kind}:{path}")
    assert form is not None
    check_dataset(form)
    data = form()
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
def test_a_folder_without_images_says_how_they_should_lie(tmp_path: Path, content: str) -> None:
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
        "train": [[f"train/{path}", *rest] for path, *rest in rows],
        "test": [[f"test/{path}", *rest] for path, *rest in rows],
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
        ({"test": {"a": 1}}, "'test' is no list"),
        ({"trian": []}, "it has a split 'trian'"),
        ({"test": [["a.png", 0]]}, "'test' has the row"),
        ({"test": [["a.png", "0", "fox"]]}, "'test' has the row"),
        ({"test": [["a.png", True, "fox"]]}, "'test' has the row"),
        ({"test": [["a.png", -1, "fox"]]}, "'test' has the row"),
        ({"test": [["a.png", 0, "_"]]}, "'test' has the row"),
        ({"test": [["a.png", 2, "\ud800"]]}, "which is no text"),
        ({"test": [["../../etc/passwd", 0, "red_fox"]]}, "leads out of the folder"),
        ({"test": [["/etc/passwd", 0, "red_fox"]]}, "leads out of the folder"),
        ({"test": [["a.png", 0, "wolf"]]}, "label 0 is both 'red_fox' and 'wolf'"),
        ({"test": [["a.png", 5, "wolf"]]}, "labels count from 0 without gaps, but there is no 2"),
        ({"test": [["a.png", 0, "red_fox"]] * 2}, "'test' has an image twice"),
        ({"test": [["a.png", 0, "red_fox"]]}, r"1 of 5 images are not in .*: a\.png"),
        ({"train": None, "test": []}, "no images"),
    ],
)
def test_a_list_that_is_wrong_says_where(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    make(tmp_path, "train", "test")
    with pytest.raises(MissingDataError, match=expected):
        opened(f"json:{listed(tmp_path, **changes)}")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 200_000, b"[]", None])
def test_a_file_that_is_no_list_says_what_it_should_hold(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MissingDataError, match=r"x\.json should hold \{'train'"):
        opened(f"json:{path}")


# --- names --------------------------------------------------------------------------------------


def test_other_names_are_left_to_others() -> None:
    assert resolve("demo-animals") is None
    assert resolve("ftp:/somewhere") is None
    assert resolve("tests") is None


def test_one_place_has_one_name_and_one_class() -> None:
    form = resolve("folder:/x/y")
    assert form is not None
    assert form.name == "folder:/x/y"
    assert resolve("folder:/x/y/") is form
    assert resolve("folder:/x//y") is form


def test_a_path_may_start_at_home_and_hold_any_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path / "a,b=c:d ü", "test")
    data = opened("folder:~/a,b=c:d ü")
    assert data.name == "folder:~/a,b=c:d ü", "records do not tell whose home it is"
    assert len(data.samples("test")) == 4


def test_a_bare_path_says_how_it_is_written(tmp_path: Path) -> None:
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
    """What is scored and what is learned on, for a request."""

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


def test_ones_own_data_is_one_more_transfer_set(plan: Plan) -> None:
    assert plan("toy-one", "folder:/x/") == [("toy-one", "toy"), ("folder:/x", "toy")]
    assert plan("folder:/x", "folder:/x/") == [("folder:/x", "toy")]
    assert plan() == [("toy-one", "toy"), ("toy-two", "toy")]


def test_a_task_that_learns_where_it_scores_learns_on_ones_own_data(plan: Plan) -> None:
    assert plan("folder:/x", tasks=("few-shot:suite=toy",)) == [("folder:/x", "folder:/x")]


def test_so_is_a_set_of_another_suite(plan: Plan) -> None:
    assert plan("demo-sketch") == [("demo-sketch", "toy")]


def test_a_set_that_a_chosen_task_scores_anyway_is_left_to_it(plan: Plan) -> None:
    tasks = ("cross-dataset:suite=toy", "pretraining:suite=toy")
    assert plan("toy", tasks=tasks) == [("toy", "toy")]
    assert plan("toy", tasks=tasks[:1]) == [("toy", "toy")], "no task scores it of its own"


def test_a_task_without_transfer_sets_scores_no_other_data(plan: Plan) -> None:
    with pytest.raises(
        UsageError, match=r"no chosen task scores data set 'folder:/x'; scored: toy$"
    ):
        plan("folder:/x", tasks=("pretraining:suite=toy",))


def test_ones_own_data_can_be_learned_on(plan: Plan) -> None:
    task = "cross-dataset:suite=toy,source=folder:/x/y/,shots=1"
    assert plan("toy-one", tasks=(task,)) == [("toy-one", "folder:/x/y")]
    assert plan(tasks=("pretraining:source=folder:/x",)) == [("folder:/x", "folder:/x")]


def test_a_comma_in_a_path_goes_with_set(plan: Plan) -> None:
    for path in ("/a,b", "/a,b=c"):
        with pytest.raises(UsageError, match="a value that holds a comma goes with --set"):
            plan("toy-one", tasks=(f"cross-dataset:suite=toy,source=folder:{path}",))
    settings = (("source", "folder:/a,b=c"),)
    assert plan("toy-one", settings=settings) == [("toy-one", "folder:/a,b=c")]


def test_a_source_that_is_no_data_set_is_refused_at_once(plan: Plan) -> None:
    with pytest.raises(UsageError, match="no data set is named 'foldr:/x'"):
        plan("toy-one", tasks=("cross-dataset:suite=toy,source=foldr:/x",))


def test_a_run_learns_and_scores_on_ones_own_data(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(place / "birds", "train", "test")
    make(place / "holiday", "")
    words = ["run", "--method", "fixed", "context", "--model", "tiny", "--num-workers", "1"]
    words += ["--task", "cross-dataset:suite=toy,source=folder:birds"]
    words += ["--dataset", "folder:holiday", "folder:gone", "toy-one"]
    assert main(words) == 1
    page, told = capsys.readouterr()
    assert "| Method | Toy one | gone | holiday | Average |" in page
    assert "4 done, 0 had a record, 2 failed" in told
    records, _ = Store(place / "runs").all()
    failures = {record.failure.kind for record in records if record.failure}
    assert failures == {"missing-data"}
    sources = {record.cell.training.source for record in records if record.cell.training}
    assert sources == {"folder:birds"}
    texts = [path.read_text() for path in (place / "runs").rglob("*.json")]
    assert not any(os.fspath(place / "birds") in text for text in texts), "as it was written"


def test_info_tells_of_ones_own_data(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(place / "birds", "test")
    assert main(["info", "folder:birds"]) == 0
    page = capsys.readouterr().out
    assert "folder:birds (data set): birds" in page
    assert "classes: 2" in page
