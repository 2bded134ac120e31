"""Boxes of the detection task: suppression compared with OpenCV's, edges of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from rppbench.errors import UsageError
from rppbench_datasets.detection.coco import Coco, CocoOpenVocabulary
from rppbench_datasets.detection.lvis import Lvis, LvisMinival
from rppbench_datasets.detection.objects365 import Objects365
from rppbench_tasks.detection import Detection, inside
from rppbench_tasks.proposing.boxes import overlaps, square_around, suppress


@dataclass
class Classifier:
    """The numbers that a backbone's logits have."""

    scale: float = 100.0
    bias: float | None = None

    def similarities(
        self, features: Tensor, names: Sequence[str], *, prompted: bool = True
    ) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_that_of_opencv_for_every_class(seed: int) -> None:
    draw = np.random.default_rng(seed)
    boxes = np.concatenate([draw.integers(0, 40, (30, 2)), draw.integers(4, 30, (30, 2))], 1)
    scores = draw.random((30, 5)).astype(np.float32)
    kept = suppress(overlaps(boxes.astype(np.float32)), scores, 0.5, 0.3)
    for label in range(5):
        expected = cv2.dnn.NMSBoxes(boxes.tolist(), scores[:, label].tolist(), 0.3, 0.5)
        assert np.flatnonzero(kept[:, label]).tolist() == sorted(np.ravel(expected).tolist())


def test_no_proposals_are_no_detections() -> None:
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    assert len(Detection().classify(nothing, np.zeros((0, 7), np.float32))) == 0


def test_at_most_so_many_detections_and_the_best_of_them() -> None:
    boxes = np.array([[at * 20, 0, 10, 10] for at in range(8)], np.float32)
    cosines = np.random.default_rng(0).normal(0.2, 0.05, (8, 6)).astype(np.float32)
    logits = Detection().logits(cosines, Classifier())
    best = Detection(detections=5).classify((boxes, np.ones(8, np.float32)), logits)
    everything = Detection().classify((boxes, np.ones(8, np.float32)), logits)
    assert len(best) == 5
    assert best.scores.tolist() == sorted(everything.scores.tolist(), reverse=True)[:5]


def test_a_backbone_with_a_bias_scores_each_class_by_the_sigmoid_it_was_trained_with() -> None:
    boxes = np.array([[at * 20, 0, 10, 10] for at in range(8)], np.float32)
    cosines = np.random.default_rng(0).normal(0.1, 0.05, (8, 6)).astype(np.float32)
    task = Detection(threshold=0.0)
    logits = task.logits(cosines, Classifier(scale=110.0, bias=-12.5))
    found = task.classify((boxes, np.full(8, 0.25, np.float32)), logits)
    expected = np.sqrt(0.25 / (1 + np.exp(12.5 - 110.0 * cosines.astype(np.float64))))
    best = -np.sort(-expected.ravel())
    np.testing.assert_allclose(found.scores, best, rtol=1e-5)


def test_without_a_bias_what_matters_is_the_difference_from_the_mean() -> None:
    cosines = np.array([[0.1, 0.2, 0.3]], np.float32)
    np.testing.assert_allclose(Detection().logits(cosines, Classifier()), [[-5, 0, 5]], atol=1e-5)


def test_boxes_outside_an_image_are_cut_or_left_out() -> None:
    boxes = np.array([[-5, -5, 10, 10], [50, 50, 5, 5], [3, 3, 0, 4]], np.float32)
    cut, sure = inside(boxes, np.array([0.1, 0.2, 0.3], np.float32), (20, 10), 100)
    assert cut.tolist() == [[0, 0, 5, 5]]
    assert sure.tolist() == pytest.approx([0.1])


@pytest.mark.parametrize("box", [(0, 0, 0.2, 0.2), (19.9, 9.9, 0.1, 0.1), (0, 0, 20, 10)])
def test_a_crop_is_never_empty(box: tuple[float, ...]) -> None:
    part = square_around(Image.new("RGB", (20, 10)), box, 0.1)
    assert min(part.size) >= 1


def test_true_boxes_are_all_kept_and_other_proposals_up_to_a_number() -> None:
    boxes = np.array([[at * 20, 0, 10, 10] for at in range(8)], np.float32)
    sure = np.ones(8, np.float32)
    assert len(inside(boxes, sure, (200, 20), 3)[1]) == 3
    assert len(inside(boxes, sure, (200, 20), None)[1]) == 8


def test_the_score_is_the_class_alone_or_its_product_with_the_proposal() -> None:
    boxes = np.array([[at * 20, 0, 10, 10] for at in range(4)], np.float32)
    sure = np.array([0.9, 0.5, 0.4, 0.1], np.float32)
    logits = np.random.default_rng(1).normal(0, 2, (4, 3))
    shares = 1 / (1 + np.exp(-logits))
    product = Detection(threshold=0.0).classify((boxes, sure), logits)
    alone = Detection(threshold=0.0, score="class").classify((boxes, sure), logits)
    expected = np.sqrt(sure[:, None] * shares)
    np.testing.assert_allclose(product.scores, np.sort(expected.ravel())[::-1], rtol=1e-6)
    np.testing.assert_allclose(alone.scores, np.sort(shares.ravel())[::-1], rtol=1e-6)


def test_published_settings_are_those_of_detic_and_exclude_their_options() -> None:
    kinds = {kind.name: kind.published_detector for kind in (Lvis, LvisMinival, Objects365)}
    assert set(kinds.values()) == {(256, 0.02, 300, "product")}
    assert CocoOpenVocabulary.published_detector == (1000, 0.05, 100, "class")
    assert Coco.published_detector is None
    with pytest.raises(UsageError, match="published=on sets at_most"):
        Detection(published=True, at_most=50)
