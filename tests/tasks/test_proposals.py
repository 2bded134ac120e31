"""Proposals of both tasks: regions, files, transformers models, and how masks are stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.detections import RandomDetectionSet

from rppbench.contracts.dataset import Sample
from rppbench.errors import MissingDataError, UsageError
from rppbench.files.digests import content_digest
from rppbench_datasets.scenes import Scenes
from rppbench_tasks.proposing import sam as anything
from rppbench_tasks.proposing.boxes import overlaps
from rppbench_tasks.proposing.files import BoxFile
from rppbench_tasks.proposing.masks import packed, parts_of, unpacked
from rppbench_tasks.proposing.models import Detector, Segmenter
from rppbench_tasks.proposing.regions import Regions


def noise(width: int, height: int) -> Image.Image:
    draw = np.random.default_rng(0)
    return Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8))


# --- how masks are stored -------------------------------------------------------------------------


def test_masks_are_kept_in_their_boxes_and_come_back() -> None:
    draw = np.random.default_rng(0)
    masks = [draw.random((9, 14)) < share for share in (0.02, 0.1, 0.9, 0.0)]
    parts = unpacked(packed(parts_of(masks)))
    assert len(parts) == 3, "an empty mask is left out"
    for part, mask in zip(parts, masks, strict=False):
        again = np.zeros_like(mask)
        again[part.rows, part.columns] = part.mask
        assert (again == mask).all()
        assert part.mask.any(0)[[0, -1]].all()
        assert part.mask.any(1)[[0, -1]].all()
    assert unpacked(packed([])) == []


# --- regions --------------------------------------------------------------------------------------


def test_regions_find_most_objects_of_training_scenes() -> None:
    data, covered, count = Scenes(), 0, 0
    for sample in data.samples("train")[:8]:
        true = np.array([instance.box for instance in data.instances(sample)], np.float32)
        boxes, scores = Regions().find(sample, data.image(sample))
        assert (np.diff(scores) <= 0).all()
        assert 0 <= scores.min() <= scores.max() <= 1
        shared = overlaps(np.concatenate([true, boxes]))[: len(true), len(true) :]
        covered += int((shared.max(1) > 0.5).sum())
        count += len(true)
    assert covered / count > 0.6


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (64, 64), (6000, 4000)])
def test_images_of_one_colour_have_no_boxes(size: tuple[int, int]) -> None:
    boxes, scores = Regions().find(Sample("x", -1), Image.new("RGB", size, (90, 120, 60)))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_an_object_on_a_large_plain_image_is_found_in_its_pixels() -> None:
    image = Image.new("RGB", (3000, 2000), (90, 120, 60))
    image.paste((220, 30, 30), (900, 600, 1500, 1000))
    boxes, _ = Regions().find(Sample("x", -1), image)
    true = np.array([[900, 600, 600, 400]], np.float32)
    assert overlaps(np.concatenate([true, boxes]))[0, 1:].max() > 0.9
    masks = parts_of(Regions()(image, "", (2000, 3000)))
    best = max(part.mask.size for part in masks if part.mask.size < 2000 * 3000)
    assert best == pytest.approx(600 * 400, rel=0.2)  # blur makes a rim


def test_regions_of_a_large_image_of_noise_are_bounded() -> None:
    image = noise(1500, 900)
    assert len(parts_of(Regions()(image, "", (900, 1500)))) <= Regions.most
    assert len(Regions().find(Sample("x", -1), image)[0]) <= Regions.most


# --- results files --------------------------------------------------------------------------------


def entry(image: int, score: float = 0.5, box: object = (1, 2, 3, 4)) -> dict[str, object]:
    return {"image_id": image, "category_id": 9, "bbox": list(box), "score": score}  # type: ignore[call-overload]


def test_boxes_of_a_results_file_go_to_their_images_best_first(tmp_path: Path) -> None:
    data, path = RandomDetectionSet(4), tmp_path / "boxes.json"
    path.write_text(json.dumps([entry(103, 0.2), entry(109), entry(103, 0.9, (5, 6, 7, 8))]))
    source = BoxFile(data, path)
    one, two, three, four = (source.find(s, data.image(s)) for s in data.samples("test"))
    assert two[0].tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]]
    assert two[1].tolist() == pytest.approx([0.9, 0.2])
    assert len(four[0]) == 1
    assert one[0].shape == three[0].shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "JSON"),
        (json.dumps([entry(1)]), "no image with the id 1"),
        (json.dumps([entry(103, 1.5)]), "not between 0 and 1"),
        (json.dumps([entry(103, box=(1, 2, -3, 4))]), "'bbox' is not"),
        (json.dumps([{**entry(103), "score": None}]), "'score' is not a number"),
    ],
)
def test_damaged_results_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        BoxFile(RandomDetectionSet(4), path)
    assert "boxes.json" in str(caught.value)


def test_the_digest_of_a_path_is_that_of_what_it_holds(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "file").write_text("same")
    assert content_digest(tmp_path / "one") == content_digest(tmp_path / "two")
    before = content_digest(tmp_path / "two" / "below" / "file")
    (tmp_path / "two" / "below" / "file").write_text("other")
    assert content_digest(tmp_path / "one") != content_digest(tmp_path / "two")
    assert content_digest(tmp_path / "two" / "below" / "file") != before
    (tmp_path / "two" / "below" / "file").rename(tmp_path / "two" / "file")
    (tmp_path / "two" / "file").write_text("same")
    assert content_digest(tmp_path / "one") != content_digest(tmp_path / "two")
    with pytest.raises(MissingDataError, match="no file or folder"):
        content_digest(tmp_path / "three")


# --- models ---------------------------------------------------------------------------------------


def test_boxes_of_a_detector_are_those_of_its_own_processor(tmp_path: Path) -> None:
    tiny = pytest.importorskip("support.tiny_proposers")
    image, detector = noise(70, 40), Detector(str(tiny.detr(tmp_path / "detr")))
    boxes, scores = detector.find(Sample("x", -1), image)
    processor, model = detector.loaded
    with torch.inference_mode():
        given = model(**processor(images=image, return_tensors="pt"))
    (expected,) = processor.post_process_object_detection(given, 0.0, [(40, 70)])
    best = int(expected["scores"].argmax())
    left, top, right, bottom = expected["boxes"][best].tolist()
    assert boxes[0].tolist() == pytest.approx([left, top, right - left, bottom - top], abs=1e-3)
    assert scores[0] == pytest.approx(float(expected["scores"][best]))
    assert len(scores) <= 6
    assert detector.identity() == Detector(str(detector.folder)).identity()


@pytest.mark.parametrize("kind", ["mask2former", "sam"])
def test_masks_of_a_model_have_the_size_of_the_image(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = pytest.importorskip("support.tiny_proposers")
    monkeypatch.setattr(anything, "LEAST_IOU", -10.0)  # a random model predicts low IoUs
    monkeypatch.setattr(anything, "LEAST_STABILITY", 0.0)
    monkeypatch.setattr(anything, "MOST_OVERLAP", 0.95)
    monkeypatch.setattr(anything, "GRID_SIDE", 4)
    segmenter = Segmenter(str(getattr(tiny, kind)(tmp_path / kind)))
    masks = list(segmenter(noise(70, 40), "x", (40, 70)))
    assert len(masks) > 1
    assert all(mask.shape == (40, 70) and mask.dtype == bool for mask in masks)
    again = list(segmenter(noise(70, 40), "x", (40, 70)))
    assert all((one == two).all() for one, two in zip(masks, again, strict=True))


def test_folders_without_a_model_for_the_task_are_refused(tmp_path: Path) -> None:
    tiny = pytest.importorskip("support.tiny_proposers")
    image, here = noise(70, 40), Sample("x", -1)
    with pytest.raises(MissingDataError, match="no model folder"):
        Detector(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no proposal model"):
        Detector(str(tmp_path / "empty")).find(here, image)
    folder = tiny.detr(tmp_path / "detr")
    with pytest.raises(UsageError, match="'sam' model gives no proposals"):
        Detector(str(tiny.sam(tmp_path / "sam"))).find(here, image)
    weights = folder / "model.safetensors"
    loaded = tiny.load_file(weights)
    del loaded["bbox_predictor.layers.0.weight"]
    tiny.save_file(loaded, weights, metadata={"format": "pt"})
    with pytest.raises(UsageError, match="incomplete: 1 tensors are missing, for example bbox"):
        Detector(str(folder)).find(here, image)
    torch.save(loaded, folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(UsageError, match="no proposal model"):  # a pickle is not read
        Detector(str(folder)).find(here, image)
