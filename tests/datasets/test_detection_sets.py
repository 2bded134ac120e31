"""Detection sets whose annotation file is passed on under several names."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from rppbench.errors import MissingDataError
from rppbench_datasets.detection.lvis import Lvis, LvisMinival

CONTENT: dict[str, list[dict[str, Any]]] = {
    "images": [
        {
            "id": 5,
            "height": 40,
            "width": 50,
            "neg_category_ids": [2],
            "not_exhaustive_category_ids": [],
            "file_name": "val2017/000005.jpg",
            "coco_url": "http://images.cocodataset.org/val2017/000005.jpg",
        }
    ],
    "annotations": [{"id": 1, "image_id": 5, "category_id": 1, "bbox": [1, 2, 10, 20]}],
    "categories": [{"id": 1, "name": "aerosol_can"}],
}


@pytest.mark.parametrize("name", [LvisMinival.annotations, *LvisMinival.other_annotations])
def test_minival_is_read_from_the_file_of_glip_or_of_ultralytics(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"no annotation file .*lvis_v1_minival\.json"):
        LvisMinival()
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(json.dumps(CONTENT))
    data = LvisMinival()
    (sample,) = data.samples("test")
    assert sample.key == "coco/val2017/000005.jpg"
    assert [one.label for one in data.instances(sample)] == [0]
    assert data.partial_annotation(sample).absent == (1,)
    assert list(data.classes) == list(Lvis.vocabulary())


def several() -> dict[str, Any]:
    """Two images with a box each."""
    content = deepcopy(CONTENT)
    content["images"].append({**content["images"][0], "id": 6})
    content["images"][1]["coco_url"] = "http://images.cocodataset.org/val2017/000006.jpg"
    content["annotations"].append({**content["annotations"][0], "id": 2, "image_id": 6})
    content["annotations"][1]["bbox"] = [3, 4, 12, 9]
    return content


def set_image(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        content["images"][0][name] = value

    return edit


def swap_ids(content: dict[str, Any]) -> None:
    """Of the images and of what is on them, so that only the numbers are others."""
    for entry, name in [(one, "id") for one in content["images"]] + [
        (one, "image_id") for one in content["annotations"]
    ]:
        entry[name] = 11 - entry[name]


def swap_boxes(content: dict[str, Any]) -> None:
    """Each image has the box of the other."""
    for one in content["annotations"]:
        one["image_id"] = 11 - one["image_id"]


@pytest.mark.parametrize(
    "edit",
    [
        set_image("neg_category_ids", []),
        set_image("not_exhaustive_category_ids", [1]),
        set_image("height", 41),
        set_image("width", 51),
        swap_ids,
        swap_boxes,
    ],
    ids=["absent", "incomplete", "height", "width", "ids", "boxes"],
)
def test_whatever_scores_depend_on_makes_another_data_set(
    edit: Callable[[dict[str, Any]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    file = tmp_path / LvisMinival.annotations
    file.parent.mkdir()

    def fingerprint(content: dict[str, Any]) -> str:
        file.write_text(json.dumps(content))
        return LvisMinival().fingerprint()

    before, content = several(), several()
    edit(content)
    assert fingerprint(before) == fingerprint(several())
    assert fingerprint(content) != fingerprint(before)
