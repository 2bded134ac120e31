"""Scores from predictions, against counts made by hand."""

from __future__ import annotations

import pytest
import torch

from rppbench.contracts import Evaluation
from rppbench.metrics import BINS, calibration_error


def test_calibration_error_is_the_weighted_gap_of_each_bin() -> None:
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(500, generator=generator)
    right = torch.rand(500, generator=generator) < confidence**2
    total = 0.0
    for index in range(BINS):
        inside = [
            (c, r)
            for c, r in zip(confidence.tolist(), right.tolist(), strict=True)
            if index / BINS < c <= (index + 1) / BINS
        ]
        if inside:
            mean = sum(c for c, _ in inside) / len(inside)
            accuracy = sum(r for _, r in inside) / len(inside)
            total += len(inside) / 500 * abs(mean - accuracy)
    assert total > 0.05
    assert calibration_error(confidence, right) == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "right", "error"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.5, 0.5], [True, False], 0.0),
        ([0.9, 0.1], [False, True], 0.9),  # two bins: their gaps do not cancel
        ([0.62, 0.64], [True, False], 0.13),  # one bin: they do
    ],
)
def test_calibration_error_of_a_few_images(
    confidence: list[float], right: list[bool], error: float
) -> None:
    found = calibration_error(torch.tensor(confidence), torch.tensor(right))
    assert found == pytest.approx(error, abs=1e-6)


def test_ece_is_a_score_beside_the_others_where_confidence_is_known() -> None:
    labels, ranked = torch.tensor([0, 1]), torch.tensor([[0, 1], [0, 1]])
    known = Evaluation(labels, ranked, 2, torch.tensor([0.8, 0.7])).scores()
    unknown = Evaluation(labels, ranked, 2).scores()
    assert known[:-1] == unknown
    assert [score.metric for score in known] == ["top1", "per_class", "ece"]
    assert known[-1].value == pytest.approx(45.0)
    assert known[-1].total == 2
    named = Evaluation(labels, ranked, 2, torch.tensor([0.8, 0.7])).scores("base")
    assert [score.metric for score in named] == ["base"]
