"""Detection sets whose annotation file is passed on under several names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rppbench.errors import MissingDataError
from rppbench_datasets.detection.lvis import Lvis, LvisMinival

CONTENT = {
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
