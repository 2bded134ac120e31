"""Faults that the fuzzer found, each with the input that showed it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz import kinds_data, kinds_records
from support.roots import coop_root

from rppbench.errors import MissingDataError, UsageError
from rppbench.exporters import prompt_card
from rppbench.features.files import problems, stored_files
from rppbench.features.store import FeatureStore
from rppbench.files.coco_json import box, entries, number_of
from rppbench.reporting.ablation_page import stored_grids
from rppbench_datasets.coop import stanford_cars
from rppbench_datasets.detection.coco import Coco
from rppbench_datasets.detection.lvis import Lvis

Change = Callable[[Any], None]


def changed(path: Path, change: Change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda card: card["training"].pop("recipe"), "missing required field `recipe`"),
        (lambda card: card["training"].pop("key"), "'key'"),
        (lambda card: card["training"]["recipe"].pop("name"), "missing required field `name`"),
        (lambda card: card["numbers"][0].update(value="many"), "got `str`"),
        (lambda card: card["numbers"][0].update(task=None), "got `null`"),
        (lambda card: card["numbers"][0].update(value=1e400), "is not finite"),
        (lambda card: card.update(backbone=["tiny"]), "got `array`"),
        (lambda card: card.update(classes="cat"), "got `str`"),
        (lambda card: card.update(more=1), "it has a field 'more'"),
    ],
)
def test_a_card_whose_fields_have_other_types_is_not_a_card(
    tmp_path: Path, change: Change, expected: str
) -> None:
    """Its digest is right: who writes a card can write the digest too."""
    kinds_records.write_prompt(tmp_path)
    changed(tmp_path / "prompt" / prompt_card.CARD, change)
    kinds_records.seal_prompt(tmp_path, prompt_card.CARD)
    with pytest.raises(UsageError, match=r"is not the card of a prompt: ") as caught:
        prompt_card.read(tmp_path / "prompt")
    assert expected in str(caught.value)


def test_a_grid_that_is_nested_too_deeply_is_no_grid(tmp_path: Path) -> None:
    (tmp_path / "ablation-mine.json").write_text('{"grid":' * 50_000)
    with pytest.raises(UsageError, match="does not hold a grid"):
        stored_grids(tmp_path)


def test_an_empty_file_of_features_is_a_problem_not_an_error(tmp_path: Path) -> None:
    FeatureStore(tmp_path).arrays({"a": 1}, lambda: {"x": np.ones(3)})
    (file,) = stored_files(tmp_path)
    file.path.write_bytes(b"")
    (problem,) = problems(stored_files(tmp_path))
    assert problem is not None
    assert "not a complete file of features" in problem.reason


@pytest.mark.parametrize("text", [f"[{'9' * 5000}]", f'{{"images": [{{"id": {"9" * 5000}}}]}}'])
def test_a_number_of_too_many_digits_is_no_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match="no valid JSON"):
        list(entries(tmp_path / "a.json", "images"))


@pytest.mark.parametrize("edge", [10**400, -(10**400), True, "1"])
def test_an_edge_of_a_box_is_a_finite_number(edge: object) -> None:
    with pytest.raises(UsageError, match="'bbox' is not x, y, width, height"):
        box({"bbox": [1, edge, 3, 4]}, "a.json")
    with pytest.raises(UsageError, match="'score' is not a number"):
        number_of({"score": edge}, "score", "a.json")


def test_features_packed_in_an_unknown_way_are_computed_again(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.arrays({"a": 1}, lambda: {"x": np.ones(3)})
    (file,) = stored_files(tmp_path)
    content = file.path.read_bytes()
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # both places of the method
        start = content.index(mark) + at
        content = content[:start] + b"\x63\x00" + content[start + 2 :]
    file.path.write_bytes(content)
    (problem,) = problems(stored_files(tmp_path))
    assert problem is not None
    assert store.arrays({"a": 1}, lambda: {"x": np.zeros(3)})["x"].sum() == 0


@pytest.mark.parametrize("value", [[[1]], "12", {"a": 1}, [None], [1.5]])
def test_lists_of_absent_categories_hold_integers(tmp_path: Path, value: object) -> None:
    kinds_data.write_boxes(Lvis)(tmp_path)
    changed(tmp_path / Lvis.annotations, lambda c: c["images"][0].update(neg_category_ids=value))
    with pytest.raises(MissingDataError, match="'neg_category_ids' is not a list of category ids"):
        kinds_data.read_boxes(Lvis)(tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        "polygon",
        7,
        [[1, 2, 3]],
        [[1, 2, 3, 4, 5]],
        [[1, 2, 3, 4, 5, 1e400]],
        [[1, 2, 3, 4, 5, "6"]],
        [7],
        {"size": [40, 50], "counts": [1]},
        {"size": [1, 2], "counts": [2]},
        {"counts": "11"},
    ],
)
def test_the_scorer_gets_no_mask_that_is_none(tmp_path: Path, value: object) -> None:
    kinds_data.write_boxes(Coco)(tmp_path)
    changed(tmp_path / Coco.annotations, lambda c: c["annotations"][0].update(segmentation=value))
    with pytest.raises(MissingDataError, match="is neither polygons nor a mask"):
        kinds_data.read_boxes(Coco)(tmp_path)


def test_masks_on_an_image_on_which_nothing_is_judged_are_left_out(tmp_path: Path) -> None:
    """The library failed: image 5 has neither a box nor a list that names the class of its mask."""
    kinds_data.write_boxes(Lvis)(tmp_path)
    kinds_data.read_boxes(Lvis)(tmp_path)


def test_a_reader_of_matlab_files_may_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds_data.write_matlab(tmp_path)
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    coop_root.shrink(monkeypatch, "stanford_cars", 2, {"test": 2})
    assert coop_root.open_set("stanford_cars").classes == [
        "2000 AM General Hummer SUV",
        "2012 Acura RL Sedan",
    ]
    monkeypatch.setattr(stanford_cars, "READ_MATLAB", "import os; os.abort()")
    with pytest.raises(MissingDataError, match="its reader gave no answer"):
        coop_root.open_set("stanford_cars")
