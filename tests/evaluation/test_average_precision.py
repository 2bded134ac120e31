"""Average precision agrees with pycocotools, with LVIS's rules, and at the edges with reason."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from support.detections import CLASSES, SIDE, RandomDetectionSet

from rppbench.contracts.regions import Detections, Instance
from rppbench.evaluation import average_precision
from rppbench.evaluation.average_precision import AveragePrecision

NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def ours(data: RandomDetectionSet, masks: bool = False) -> dict[str, float]:
    scorer = AveragePrecision(data, masks)
    for sample in data.samples("test"):
        detections = data.detections(sample)
        scorer.add(
            sample, replace(detections, masks=boxes_as_masks(detections)) if masks else detections
        )
    return {score.metric: score.value for score in scorer.scores()}


def boxes_as_masks(detections: Detections) -> list[Any]:
    masks = []
    for x, y, w, h in detections.boxes:
        mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
        mask[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1] = 1
        masks.append(rle.encode(mask))
    return masks


def reference(
    data: RandomDetectionSet,
    labels: Sequence[int],
    masks: bool = False,
    images: Sequence[int] | None = None,
) -> Any:
    """pycocotools on the same boxes; its evaluation of the given classes and images."""
    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for at, sample in enumerate(data.samples("test")):
        for instance in data.instances(sample):
            entry = {"id": len(truth) + 1, "image_id": at, "category_id": instance.label}
            entry |= {
                "bbox": list(instance.box),
                "iscrowd": int(instance.crowd),
                "area": instance.area,
            }
            assert instance.mask is not None
            entry["segmentation"] = rle.encode(np.asfortranarray(instance.mask.astype(np.uint8)))
            truth.append(entry)
        here = data.detections(sample)
        for box, score, label, mask in zip(
            here.boxes, here.scores, here.labels, boxes_as_masks(here), strict=True
        ):
            entry = {"image_id": at, "category_id": int(label), "score": float(score)}
            key = {"segmentation": mask} if masks else {"bbox": [float(edge) for edge in box]}
            results.append({**entry, **key})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": at, "height": SIDE, "width": SIDE} for at in range(len(data.boxes))],
            "categories": [{"id": at, "name": name} for at, name in enumerate(CLASSES)],
            "annotations": truth,
        }
        coco.createIndex()
        compared = COCOeval(coco, coco.loadRes(results), "segm" if masks else "bbox")
        compared.params.catIds = list(labels)
        if images is not None:
            compared.params.imgIds = list(images)
        compared.evaluate()
        compared.accumulate()
        compared.summarize()
    return compared


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_numbers_are_those_of_pycocotools(seed: int, masks: bool) -> None:
    data = RandomDetectionSet(seed=seed)
    scores = ours(data, masks)
    prefix = "mask_" if masks else ""
    stats = 100 * reference(data, range(6), masks).stats
    for name, value in zip(("AP", "AP50", "AP75", "APs", "APm", "APl"), stats, strict=False):
        assert scores[prefix + name] == pytest.approx(value, abs=1e-6), name
    assert 5 < scores[f"{prefix}AP50"] < 95, "neither nothing nor everything"
    seen, unseen = (100 * reference(data, labels, masks).stats[1] for labels in ((0, 1, 4), (2, 3)))
    assert scores[f"{prefix}AP50_seen"] == pytest.approx(seen, abs=1e-6)
    assert scores[f"{prefix}AP50_unseen"] == pytest.approx(unseen, abs=1e-6)


def test_classes_may_be_scored_in_groups_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = ours(RandomDetectionSet())
    monkeypatch.setattr(average_precision, "PAIRS", 1)
    assert ours(RandomDetectionSet()) == at_once


def test_lvis_counts_a_class_only_on_images_that_were_checked_for_it() -> None:
    data = RandomDetectionSet(federated=True)
    # Class 3 is absent from every checked image without it, and never incomplete: plain COCO on
    # the images that were checked. Class 4 is checked only where it is.
    for label in (1, 3, 4):
        images = []
        for at, sample in enumerate(data.samples("test")):
            here = {instance.label for instance in data.instances(sample)}
            if label in here or label in data.partial_annotation(sample).absent:
                images.append(at)
        assert 0 < len(images) <= 20
        data.groups = tuple("r" if at == label else "f" for at in range(6))
        expected = 100 * reference(data, [label], images=images).stats[0]
        assert ours(data)["AP_rare"] == pytest.approx(expected, abs=1e-6)


def test_lvis_does_not_hold_unmatched_boxes_against_incomplete_annotations() -> None:
    data = RandomDetectionSet(federated=True)
    data.groups = ("r", "c", "f", "c", "c", "c")  # class 2 alone is incomplete wherever it is
    scorer, strict = AveragePrecision(data), AveragePrecision(data)
    for sample in data.samples("test"):
        instances = data.instances(sample)
        detections = data.detections(sample)
        extra = Detections(  # a high score on an empty corner
            np.concatenate([detections.boxes, [[190, 190, 4, 4]]]).astype(np.float32),
            np.append(detections.scores, np.float32(2)),
            np.append(detections.labels, 2),
        )
        scorer.add(
            sample, extra if any(instance.label == 2 for instance in instances) else detections
        )
        strict.add(sample, detections)
    one, two = ({s.metric: s.value for s in scores.scores()} for scores in (scorer, strict))
    assert one["AP_frequent"] == pytest.approx(two["AP_frequent"])


def many(labels: Sequence[int], scores: Sequence[float]) -> Detections:
    """Detections of one box."""
    box = np.array([[1, 1, 9, 9]], np.float32)
    boxes = np.tile(box, (len(labels), 1))
    masks = [*boxes_as_masks(Detections(box, np.zeros(1), np.zeros(1)))] * len(labels)  # type: ignore[arg-type]
    return Detections(boxes, np.array(scores, np.float32), np.array(labels, np.int64), masks)


def test_lvis_has_numbers_by_frequency() -> None:
    scores = ours(RandomDetectionSet(federated=True))
    assert list(scores)[:3] == ["AP50", "AP", "AP75"]
    assert {"AP_rare", "AP_common", "AP_frequent"} <= set(scores)
    assert not {name for name in scores if "seen" in name}


def made_of(things: Sequence[Sequence[int]]) -> RandomDetectionSet:
    """Images whose instances all have the box of `many`; class 3 is absent where it is not."""
    data = RandomDetectionSet(images=0, federated=True)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[1:11, 1:11] = True
    data.boxes = [[Instance(label, (1, 1, 9, 9), mask, area=81.0) for label in at] for at in things]
    return data


@pytest.mark.parametrize("masks", [False, True])
def test_lvis_leaves_out_detections_of_classes_that_an_image_was_not_annotated_for(
    masks: bool,
) -> None:
    # Class 4 is neither in the second image nor known to be absent from it.
    data = made_of([[4], [0]])
    scorer = AveragePrecision(data, masks)
    first, second = data.samples("test")
    scorer.add(first, many([4], [0.5]))
    scorer.add(second, many([4, 4], [0.9, 0.8]))
    scores = {score.metric.removeprefix("mask_"): score.value for score in scorer.scores()}
    assert scores["AP_common"] == pytest.approx(100), "class 4: found where it is, nowhere wrong"
    assert scores["AP"] == pytest.approx(50), "class 0 was not found"


def test_lvis_counts_three_hundred_detections_an_image_and_fixed_ap_ten_thousand_a_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = made_of([[0], [4]])  # class 0 is rare, class 4 common
    scorer = AveragePrecision(data)
    first, second = data.samples("test")
    # 300 better ones, even of a class that does not count in this image, take all the places.
    scorer.add(first, many([4] * 300 + [0], [0.9] * 300 + [0.5]))
    scorer.add(second, many([4], [0.5]))
    scores = {score.metric: score.value for score in scorer.scores()}
    assert (scores["AP_rare"], scores["fixed_AP_rare"]) == (0, pytest.approx(100))
    assert scores["AP_common"] == scores["fixed_AP_common"] == pytest.approx(100)
    assert (scores["AP"], scores["fixed_AP"]) == (pytest.approx(50), pytest.approx(100))
    # With one place for each class in all images, the better detection elsewhere takes it.
    monkeypatch.setattr(average_precision, "FIXED_LIMIT", 1)
    scorer = AveragePrecision(data)
    scorer.add(first, many([4, 0], [0.6, 0.5]))
    scorer.add(second, many([4], [0.5]))
    scores = {score.metric: score.value for score in scorer.scores()}
    assert scores["fixed_AP_common"] == 0
    assert scores["AP_common"] == pytest.approx(100), "the other image was not annotated for it"
    assert scores["fixed_AP_rare"] == pytest.approx(100)


def test_of_equal_scores_those_of_the_image_with_the_lower_id_come_first() -> None:
    class Backwards(RandomDetectionSet):
        def image_ids(self, split: str) -> Sequence[int]:
            return [8, 5]

    data = Backwards(images=0)
    data.boxes = [[], made_of([[0]]).boxes[0]]
    scorer = AveragePrecision(data)
    for sample in data.samples("test"):
        scorer.add(sample, many([0], [0.5]))
    assert {s.metric: s.value for s in scorer.scores()}["AP"] == pytest.approx(100)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_best_of_each_group(count: int) -> None:
    scores = np.array([0.2, 0.9, 0.9, 0.1, 0.9], np.float32)
    groups = np.array([7, 7, 3, 3, 7])
    expected = {0: [], 1: [1, 2], 2: [1, 2, 3, 4], 5: [0, 1, 2, 3, 4]}
    assert np.flatnonzero(average_precision.best(scores, groups, count)).tolist() == expected[count]


def test_nothing_found_is_zero_and_everything_found_is_all() -> None:
    data = RandomDetectionSet()
    nothing, everything = AveragePrecision(data), AveragePrecision(data)
    for sample in data.samples("test"):
        nothing.add(sample, NOTHING)
        instances = [instance for instance in data.instances(sample) if not instance.crowd]
        everything.add(
            sample,
            Detections(
                np.array([instance.box for instance in instances], np.float32).reshape(-1, 4),
                np.ones(len(instances), np.float32),
                np.array([instance.label for instance in instances], np.int64),
            ),
        )
    assert {s.metric: s.value for s in nothing.scores()}["AP"] == 0
    assert {s.metric: s.value for s in everything.scores()}["AP"] == pytest.approx(100)


def test_no_images_at_all_are_no_number() -> None:
    assert AveragePrecision(RandomDetectionSet(images=0)).scores() == []
