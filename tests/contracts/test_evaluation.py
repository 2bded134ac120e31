"""Scores of predictions, compared with hand-made counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rppbench.contracts.evaluation import Evaluation
from rppbench.records.record import is_detail, lower_is_better
from rppbench.stats.calibration import BINS, calibration_error


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
    assert calibration_error(confidence.numpy(), right.tolist()) == pytest.approx(total, abs=1e-6)


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
    computed = calibration_error(np.array(confidence, np.float32), right)
    assert computed == pytest.approx(error, abs=1e-6)


def test_ece_is_a_score_beside_the_others_where_confidence_is_known() -> None:
    labels, ranked = torch.tensor([0, 1]), torch.tensor([[0, 1], [0, 1]])
    known = Evaluation(labels, ranked, 2, torch.tensor([0.8, 0.7])).scores()
    unknown = Evaluation(labels, ranked, 2).scores()
    assert known[:-1] == unknown
    assert [score.metric for score in known] == ["top1", "per_class", "ece"]
    assert known[-1].value == pytest.approx(45.0)
    assert known[-1].total == 2
    named = Evaluation(labels, ranked, 2, torch.tensor([0.8, 0.7])).scores("base")
    assert [score.metric for score in named] == ["base", "base_per_class", "base_ece"]


def test_the_loss_gap_is_test_loss_minus_train_loss() -> None:
    labels, ranked = torch.tensor([0, 1]), torch.tensor([[0, 1], [0, 1]])
    losses = torch.tensor([0.5, 1.5])
    fitted = Evaluation(labels, ranked, 2, losses=losses, train_loss=0.25).scores("base")
    values = {score.metric: score.value for score in fitted if "loss" in score.metric}
    assert values == {"base_test_loss": 1.0, "base_train_loss": 0.25, "base_loss_gap": 0.75}
    assert all(lower_is_better(metric) for metric in values)
    unfitted = Evaluation(labels, ranked, 2, losses=losses).scores()
    assert [s.metric for s in unfitted if "loss" in s.metric] == ["test_loss"]


@pytest.mark.parametrize(
    ("metric", "detail"),
    [
        *(("top1", False), ("top5", False), ("per_class", False), ("ece", False), ("base", False)),
        *(("loss_gap", False), ("harmonic_mean", False), ("held_out", False)),
        *(("base_top5", True), ("base_loss_gap", True), ("test_loss", True), ("new_ece", True)),
    ],
)
def test_tables_of_all_metrics_leave_out_details_of_parts(metric: str, detail: bool) -> None:
    assert is_detail(metric) is detail
