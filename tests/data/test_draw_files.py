"""Draws in files: the two published forms, and our own draws written in them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.toy_data import COLOURS, Toy, WithoutVal

from rppbench.contracts.dataset import Sample
from rppbench.data.draw_files import FORMS, Draw, check_shots, keep, kept, read_draw, write_draw
from rppbench.data.draws import imbalance, long_tail, training_images, validation_images
from rppbench.data.few_shot import few_shot, few_shot_with_val
from rppbench.errors import UsageError
from rppbench.records.cell import Choice, Training

NAMES = list(COLOURS)


class Larger(Toy):
    images_a_class = 40


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Larger:
    monkeypatch.setenv("RPPBENCH_CACHE", str(tmp_path / "cache"))
    return Larger()


def drawn(data: Larger, shots: int = 3, seed: int = 5) -> Draw:
    train, val = few_shot_with_val(data.samples("train"), data.samples("val"), shots, seed)
    return Draw(tuple(train), tuple(val))


def training(draw: str, digest: str = "", shots: int = 3, seed: int = 5) -> Training:
    inputs = (("draw:toy", digest),) if digest else ()
    return Training(
        Choice("any"), Choice("r"), "toy", "all", shots, seed, "t", None, "", inputs, draw=draw
    )


def as_published(draw: Draw, root: str = "./data/") -> dict[str, Any]:
    """The JSON form, as others wrote it on their machine."""
    return {
        name: {
            "data": [
                {"impath": f"{root}{s.key}", "label": s.label, "classname": NAMES[s.label]}
                for s in samples
            ],
            "indices": [],
        }
        for name, samples in (("train", draw.train), ("val", draw.val or ()))
    }


def save(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_published_json_gives_its_images_whatever_folders_come_first(
    data: Larger, tmp_path: Path
) -> None:
    draw = drawn(data)
    for root in ("./data/", "/home/me/x/", ""):
        assert read_draw(save(tmp_path / "a.json", as_published(draw, root)), data) == draw


def test_published_lines_have_their_validation_images_in_a_file_beside_them(
    data: Larger, tmp_path: Path
) -> None:
    draw = drawn(data)

    def lines(samples: Sequence[Sample]) -> str:
        entries = (
            {"_impath": f"x/{s.key}", "_label": s.label, "_domain": 0, "_classname": "?"}
            for s in samples
        )
        return "".join(json.dumps(entry) + "\n" for entry in entries)

    path = save(tmp_path / "shot_3-seed_5_train.jsonl", lines(draw.train))
    assert read_draw(path, data) == Draw(draw.train, None)
    save(tmp_path / "shot_3-seed_5_val.jsonl", lines(draw.val or ()))
    assert read_draw(path, data) == draw


@pytest.mark.parametrize("form", FORMS)
def test_our_own_draw_is_written_and_read_back(data: Larger, tmp_path: Path, form: str) -> None:
    draw = drawn(data)
    first, *_ = paths = write_draw(tmp_path, "shot_3-seed_5", form, draw, data)
    assert read_draw(first, data) == draw
    assert [path.name for path in paths] == {
        "json": ["shot_3-seed_5.json"],
        "jsonl": ["shot_3-seed_5_train.jsonl", "shot_3-seed_5_val.jsonl"],
    }[form]
    if form == "json":
        content = json.loads(first.read_text())
        train = data.samples("train")
        assert [train[at] for at in content["train"]["indices"]] == list(draw.train)
        assert content["train"]["data"][0] == {
            "impath": draw.train[0].key,
            "label": 0,
            "classname": NAMES[0],
        }


def test_only_line_feeds_end_the_lines_of_a_draw(data: Larger, tmp_path: Path) -> None:
    """U+2028 may be part of a name, and our own files do not escape it."""
    shown = drawn(data).train[0]
    entry = {"_impath": shown.key, "_label": shown.label, "_classname": "red\u2028square"}
    path = save(tmp_path / "a.jsonl", json.dumps(entry, ensure_ascii=False) + "\r\n")
    assert read_draw(path, data) == Draw((shown,), None)


def test_a_training_learns_from_the_images_of_its_file_in_their_order(data: Larger) -> None:
    draw = drawn(data)
    backwards = Draw(draw.train[::-1], draw.val)
    name = keep(backwards)
    assert name != keep(draw)
    assert training_images(data, training("mine", name)) == list(draw.train[::-1])
    assert validation_images(data, training("mine", name)) == draw.val
    assert validation_images(WithoutVal(), training("mine", name)) == draw.val, "as of ImageNet"
    assert validation_images(data, training("mine", name), "full") == data.samples("val")
    without = keep(Draw(draw.train[:7], None))
    usual = validation_images(data, training(""))
    assert validation_images(data, training("mine", without)) == usual


def test_a_draw_that_is_not_on_this_machine_or_damaged_is_named(
    data: Larger, tmp_path: Path
) -> None:
    kept.cache_clear()
    name = keep(drawn(data, seed=8))
    (place,) = (tmp_path / "cache" / "draws").iterdir()
    place.write_text(place.read_text().replace("train/0/", "train/1/"))
    with pytest.raises(UsageError, match=f"the draw {name} is not on this machine"):
        kept(name)
    with pytest.raises(UsageError, match="give its file again"):
        kept("0" * 16)


BROKEN: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "is not JSON"),
    "a list": ([], "is not a draw: a JSON object with 'train' and 'val'"),
    "no list": ({"train": {"data": 3}}, "its images must be a list"),
    "null": ({"train": None}, "lists no image"),
    "empty": ({"train": {"data": []}}, "lists no image"),
    "no label": ({"train": {"data": [{"impath": "x"}]}}, "image 1 needs a path"),
    "a true label": ({"train": {"data": [{"impath": "x", "label": True}]}}, "image 1 needs a path"),
    "other images": ({"train": {"data": [{"impath": "a/b.jpg", "label": 0}]}}, "1 of 1 images"),
    "a test image": (
        {"train": {"data": [{"impath": "x/test/0/1", "label": 0}]}},
        "test/0/1 is a test image of 'toy'",
    ),
    "a validation image to learn": (
        {"train": {"data": [{"impath": "x/val/0/1", "label": 0}]}},
        "1 of 1 images",
    ),
    "another label": (
        {"train": {"data": [{"impath": "x/train/0/1", "label": 2}]}},
        "has label 2, but is of class 0 ('red square')",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_no_draw_of_this_data_set_is_refused(
    data: Larger, tmp_path: Path, case: str
) -> None:
    content, message = BROKEN[case]
    path = save(tmp_path / "a.json", content)
    with pytest.raises(UsageError) as error:
        read_draw(path, data)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    with pytest.raises(UsageError, match="cannot be read"):
        read_draw(tmp_path / "none.jsonl", data)


def test_the_number_of_shots_must_be_that_of_the_file(data: Larger) -> None:
    check_shots(drawn(data, 4), data, Path("a.json"), 4)
    for shots in (3, 5):
        with pytest.raises(UsageError, match=r"4 training images of 'red square'.*--shots 4"):
            check_shots(drawn(data, 4), data, Path("a.json"), shots)
    every = Draw(tuple(data.samples("train")), None)
    check_shots(every, data, Path("a.json"), 50)


def test_a_long_tail_keeps_the_first_shots_of_each_class(data: Larger) -> None:
    of_training = training("long-tail:16", shots=32, seed=2)
    balanced = few_shot(data.samples("train"), 32, 2)
    tail = training_images(data, of_training)
    counts = Counter(sample.label for sample in tail)
    # 32 * 16 ** (-k / 6) for the seven classes
    assert sorted(counts.values(), reverse=True) == [32, 20, 13, 8, 5, 3, 2]
    for label, count in counts.items():
        first = [sample for sample in balanced if sample.label == label][:count]
        assert [sample for sample in tail if sample.label == label] == first
    other = Counter(s.label for s in training_images(data, training("long-tail:16", shots=32)))
    assert sorted(other.values()) == sorted(counts.values())
    assert other != counts, "another seed has other classes in the tail"
    assert long_tail(balanced, training("long-tail:1", shots=32, seed=2)) == balanced
    assert (
        min(Counter(s.label for s in long_tail(balanced, training("long-tail:999"))).values()) == 1
    )


@pytest.mark.parametrize("text", ["long-tail:0.5", "long-tail:", "long-tail:x", "long-tail:inf"])
def test_an_imbalance_is_a_number_of_at_least_one(text: str) -> None:
    with pytest.raises(UsageError, match="must be a number of at least 1"):
        imbalance(text)
