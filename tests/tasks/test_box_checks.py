"""Boxes of a file in another form are refused or named, never scored as 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.detections import RandomDetectionSet

from rppbench.cli import main
from rppbench.errors import UsageError
from rppbench.records.store import Store
from rppbench_datasets.detection import Objects
from rppbench_datasets.scenes import Scenes
from rppbench_tasks.box_checks import check_boxes, check_scores
from rppbench_tasks.proposing.files import BoxFile
from rppbench_tasks.segmenting import map_results

SIZE = 100
GOOD = np.array([[10, 10, 5, 5], [60, 50, 40, 49], [0, 0, 100, 100], [20, 70, 30, 20]], float)


def remarks_on(boxes: Any) -> list[str]:
    rows = np.array(boxes, float)
    remarks: list[str] = []
    check_boxes(rows, np.full((len(rows), 2), SIZE), "x.json", remarks.append)
    return remarks


def corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def test_boxes_in_pixels_of_their_images_pass() -> None:
    assert remarks_on(GOOD) == []
    assert remarks_on([[-3, -2, 108, 104]]) == []  # detectors that do not clip
    assert remarks_on(np.zeros((0, 4))) == []


@pytest.mark.parametrize("form", ["xywh", "xyxy"])
def test_normalised_boxes_are_refused(form: str) -> None:
    boxes = (GOOD if form == "xywh" else corners(GOOD)) / SIZE
    with pytest.raises(UsageError, match=r"x\.json: no number of a box is above 1, as if"):
        remarks_on(boxes)


def test_corners_are_refused_with_the_first_example() -> None:
    message = r"2 of 4 boxes .* as x1, y1, x2, y2; .* entry 2, \[60, 50, 100, 99\] in an image of"
    with pytest.raises(UsageError, match=message):
        remarks_on(corners(GOOD))
    with pytest.raises(UsageError, match="1 of 1 boxes leave their image, but would lie in it"):
        remarks_on([[40, 40, 80, 80]])


def test_boxes_of_a_larger_copy_are_refused() -> None:
    with pytest.raises(UsageError, match=r"4 of 4 boxes leave their image; .* resized copy"):
        remarks_on(GOOD * 4 + np.array([65, 0, 0, 0]))


def test_single_boxes_outside_and_empty_ones_are_named() -> None:
    (outside, empty) = remarks_on([*GOOD, [200, 5, 30, 30], [5, 5, 0, 9]])
    assert outside.startswith("1 of 6 boxes leave their image: the first is entry 5, [200, 5, 30")
    assert empty == "1 of 6 boxes have no area: the first is entry 6"


def test_scores_that_say_nothing_are_named() -> None:
    remarks: list[str] = []
    check_scores(np.array([0.5, 0.25]), remarks.append)
    check_scores(np.array([1.0]), remarks.append)
    assert remarks == []
    check_scores(np.array([0.5, 0.5]), remarks.append)
    check_scores(np.array([0.5, 87.0]), remarks.append)
    assert remarks[0] == "all 2 scores are 0.5: the order of the file decides"
    assert remarks[1].startswith("1 of 2 scores are not in 0..1: the first is 87, entry 2")


def test_proposals_are_checked_alike(tmp_path: Path) -> None:
    data = RandomDetectionSet()
    number = data.image_ids("test")[0]
    height, width = data.shape(data.samples("test")[0])
    path = tmp_path / "boxes.json"
    for bbox, message in (
        ([0.1, 0.1, 0.5, 0.5], "no number of a box is above"),
        ([width / 2, height / 2, width, height], "as x1, y1, x2, y2"),
    ):
        path.write_text(json.dumps([{"image_id": number, "bbox": bbox, "score": 0.5}]))
        with pytest.raises(UsageError, match=message):
            BoxFile(data, path)


def predicted(number: int, **change: Any) -> dict[str, Any]:
    entry = {"image_id": number, "category_id": 1, "bbox": [5, 6, 30, 30], "score": 0.5}
    return {**entry, **change}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [], "annotations": [predicted(1)]}, "holds an object, not a list"),
        ([], "holds no predictions"),
        ([predicted(1, bbox=[0.1, 0.2, 0.3, 0.4])], "as if boxes were parts of the image"),
        ([predicted(1, bbox=[90, 90, 140, 140])], "as x1, y1, x2, y2"),
        ([predicted(1, bbox=[5000, 50, 30, 30])], "1 of 1 boxes leave their image"),
        ([predicted(1, bbox=[3, 3, 5, 5], category_id=60)], "every score of p.json is 0"),
    ],
)
def test_a_file_of_the_wrong_shape_makes_no_record(
    content: object,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Scenes, "count", 3)
    monkeypatch.chdir(tmp_path)
    Path("p.json").write_text(json.dumps(content))
    words = ["--task", "detection", "--dataset", "demo-2-objects", "--variant", "X"]
    assert main(["score", "p.json", *words, "--output", "out"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_what_only_looks_wrong_is_kept_with_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Scenes, "count", 3)
    monkeypatch.chdir(tmp_path)
    data = Objects()
    rows = [
        predicted(number, category_id=data.category_ids()[one.label], bbox=list(one.box))
        for sample, number in zip(data.samples("test"), data.image_ids("test"), strict=True)
        for one in data.instances(sample)
    ]
    Path("p.json").write_text(json.dumps(rows))
    words = ["--task", "detection", "--dataset", "demo-2-objects", "--variant", "X"]
    assert main(["score", "p.json", *words, "--output", "out"]) == 0
    message = f"all {len(rows)} scores are 0.5: the order of the file decides"
    assert message in capsys.readouterr().err
    (record,) = Store(Path("out")).all()[0]
    assert message in record.environment["remarks"]


def test_blank_maps_and_files_of_no_image_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scenes, "count", 2)
    data = Scenes()
    for sample, value in zip(data.samples("test"), (255, 3), strict=True):
        labels = np.full(data.label_map(sample).shape, value, np.uint8)
        Image.fromarray(labels).save(tmp_path / f"{data.stem(sample)}.png")
    (tmp_path / "other.png").touch()
    remarks: list[str] = []
    list(map_results.scores(data, tmp_path, lambda done, total: None, remarks.append))
    assert remarks == [
        "1 of 2 maps name no class for any pixel: 000000",
        f"1 files of {tmp_path} belong to no test image: other.png",
    ]
