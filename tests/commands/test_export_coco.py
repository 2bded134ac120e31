"""Scenes as files: pycocotools reads back what the data set says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from rppbench.cli import main
from rppbench.contracts.regions import IGNORED
from rppbench_datasets.scenes import Scenes


def test_other_tools_read_the_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Scenes, "count", 6)
    folder = tmp_path / "scenes"
    assert main(["export-coco", "demo-2-scenes", "--to", str(folder)]) == 0
    coco, data = COCO(folder / "instances.json"), Scenes()
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(data.classes)
    for sample, number in zip(data.samples("test"), sorted(coco.getImgIds()), strict=True):
        (entry,) = coco.loadImgs(number)
        pixels = np.asarray(Image.open(folder / "images" / entry["file_name"]))
        assert (pixels == np.asarray(data.image(sample))).all()
        labels = np.asarray(Image.open(folder / "labels" / entry["file_name"]))
        truth = data.label_map(sample)
        assert (labels == np.where(truth == IGNORED, 255, truth)).all()
        things = data.instances(sample)
        annotations = coco.loadAnns(coco.getAnnIds(number))
        assert len(annotations) == len(things)
        for one, thing in zip(annotations, things, strict=True):
            assert one["category_id"] == data.category_ids()[thing.label]
            assert tuple(one["bbox"]) == thing.box
            assert (coco.annToMask(one).astype(bool) == thing.mask).all()
    capsys.readouterr()
    assert main(["export-coco", "demo-2-scenes", "--to", str(folder)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert main(["export-coco", "demo-2-animals", "--to", str(tmp_path / "no")]) == 2
    assert "no boxes" in capsys.readouterr().err
