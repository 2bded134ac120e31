"""Average precision of boxes and masks by the protocol of LVIS is that of lvis-api."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from support.federated import CROWDED, EMPTY, IDS, UNJUDGED, federated

from rppbench.evaluation.average_precision import LVIS_LIMIT
from rppbench_datasets.detection.lvis import Lvis
from rppbench_tasks import box_results

DIGEST = "0278ad493c6ae6da214969e8db7eac474948e3cf1430fb92d735003b6dab608d"
"""Of the files that lvis-api scored; with others the numbers below mean nothing."""

# How these were obtained: `PYTHONPATH=tests python -m support.federated DIR`, then lvis-api 0.5.3
# (commit 7d7f07def11da91f8b2710ce352c62a78fd5a7ad of github.com/lvis-dataset/lvis-api) with
# pycocotools 2.0.11 and numpy 2.4.6. Of its code only the import of `lvis.vis` was removed, which
# draws and needs OpenCV. For boxes, 'segmentation' was taken out of the detections; for masks,
# 'bbox', as detectron2 does, so that the area of a detection is that of its mask. Then
#   LVISEval(LVIS(file), LVISResults(LVIS(file), detections, max_dets=300), "bbox" or "segm").run()
# These are its `results`, times 100, under rppbench's names. Those that begin with 'fixed_' are
# with max_dets=-1: no class has 10,000 detections here, so Fixed AP is AP without a limit.
BOXES = {
    "AP": 21.753952318048878,
    "AP50": 32.178145137616916,
    "AP75": 25.176905511063925,
    "APs": 11.57079993713657,
    "APm": 36.67631433473018,
    "APl": 23.819616336633665,
    "AP_rare": 31.29875895599841,
    "AP_common": 18.47610098113884,
    "AP_frequent": 15.486997017009394,
    "fixed_AP": 21.715723478442513,
    "fixed_AP_rare": 31.184072437179296,
    "fixed_AP_common": 18.47610098113884,
    "fixed_AP_frequent": 15.486997017009394,
}
MASKS = {
    "AP": 21.149475929152757,
    "AP50": 35.47906593880676,
    "AP75": 20.285866135387227,
    "APs": 11.86269579338886,
    "APm": 26.775427542754276,
    "APl": 28.023766347222956,
    "AP_rare": 27.79419119155955,
    "AP_common": 16.610789189778703,
    "AP_frequent": 19.043447406120016,
    "fixed_AP": 21.118042241841252,
    "fixed_AP_rare": 27.70335201427504,
    "fixed_AP_common": 16.607327305128706,
    "fixed_AP_frequent": 19.043447406120016,
}


def test_the_files_are_those_that_lvis_api_scored() -> None:
    assert hashlib.sha256(json.dumps(federated()).encode()).hexdigest() == DIGEST


def test_the_files_hold_what_is_special_about_lvis() -> None:
    content, detections = federated()
    images = {image["id"]: image for image in content["images"]}
    present: dict[int, set[int]] = {number: set() for number in IDS}
    for one in content["annotations"]:
        present[one["image_id"]].add(one["category_id"])
    judged = {
        number: {*here, *images[number]["neg_category_ids"]} for number, here in present.items()
    }
    right: dict[int, list[bool]] = {number: [] for number in IDS}
    for one in detections:
        right[one["image_id"]].append(one["category_id"] in judged[one["image_id"]])
    assert list(images) == list(IDS) != sorted(IDS)
    assert len(right[IDS[CROWDED]]) > LVIS_LIMIT
    assert not present[IDS[EMPTY]]
    assert present[IDS[UNJUDGED]]
    for at, number in enumerate(IDS):
        assert any(right[number]) == (at not in (EMPTY, UNJUDGED))
        assert not all(right[number])


def test_numbers_are_those_of_lvis_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, detections = federated()
    (tmp_path / "lvis").mkdir()
    (tmp_path / Lvis.annotations).write_text(json.dumps(content))
    file = tmp_path / "detections.json"
    file.write_text(json.dumps(detections))
    monkeypatch.setenv("RPPBENCH_DATA", str(tmp_path))
    scores = box_results.scores(Lvis(), file, lambda done, total: None, lambda line: None)
    expected = BOXES | {f"mask_{name}": value for name, value in MASKS.items()}
    assert {one.metric: one.value for one in scores} == pytest.approx(expected, abs=1e-9)
