"""`rppbench reliability`: curves of rows, in the terminal, as SVG and on the page of the report."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.records import record as made

from rppbench import cli
from rppbench.contracts.evaluation import Evaluation
from rppbench.leaderboard.build import build_with_variants
from rppbench.leaderboard.calibration import curves
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.stats.calibration import Bin, calibration_error, reliability


def record(method: str, seed: int, sure: list[float], right: list[bool]) -> Record:
    ranked = torch.tensor([[0, 1] if hit else [1, 0] for hit in right])
    labels = torch.zeros(len(right), dtype=torch.int64)
    scores = Evaluation(labels, ranked, 2, torch.tensor(sure)).scores()
    return made(method, seed=seed, scores=scores)


SURE = [0.90, 0.92, 0.50, 0.52]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """CoOp under two seeds, POMP under one, and CLIP without confidences."""
    store = Store(tmp_path)
    store.write(record("coop", 1, SURE, [True, False, True, True]))
    store.write(record("coop", 2, SURE, [True, True, False, False]))
    store.write(record("pomp", 1, SURE, [True, True, True, True]))
    store.write(made("zeroshot", trained=False))
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cli.main(["reliability", *words])
    return status, *capsys.readouterr()


def test_bins_are_half_open_and_hold_all_images() -> None:
    sure = np.array([0.0, 0.25, 0.26, 0.5, 1.0], np.float32)
    bins = reliability(sure, [False, True, True, False, True], bins=4)
    assert [one.images for one in bins] == [2, 2, 0, 1]
    assert bins[0] == Bin(0.0, 0.25, 2, 0.125, 0.5)
    assert bins[0].gap == -0.375
    assert bins[2] == Bin(0.5, 0.75, 0, 0.0, 0.0)
    assert bins[3] == Bin(0.75, 1.0, 1, 1.0, 1.0)


def test_the_error_is_the_weighted_gap_of_the_curve() -> None:
    generator = np.random.default_rng(0)
    sure = generator.random(500, np.float32)
    right = generator.random(500) < sure**2
    bins = reliability(sure, right)
    weighted = sum(one.images / 500 * abs(one.gap) for one in bins)
    assert weighted == pytest.approx(calibration_error(sure, right), abs=1e-12)
    assert weighted > 0.05


def test_a_row_pools_its_records(runs: Path) -> None:
    (built,) = build_with_variants(Store(runs).all()[0])
    drawn = [curve for variant in built.variants for curve in curves(runs, variant, [])]
    by_label = {curve.label: curve for curve in drawn}
    assert set(by_label) == {"CoOp", "POMP"}
    coop = by_label["CoOp"]
    assert (coop.part, coop.records, coop.images) == ("top1", 2, 8)
    assert coop.accuracy == pytest.approx(62.5)
    assert coop.confidence == pytest.approx(71.0)
    # 0.5, 0.52 are in one bin with 2 of 4 right; 0.9, 0.92 in one with 3 of 4.
    assert coop.error == pytest.approx(100 * (4 * 0.01 + 4 * 0.16) / 8, abs=1e-4)


def test_of_a_single_record_the_error_is_the_recorded_one(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in Store(runs).all()[0]:
        if one.confidence:
            method, seed = one.cell.method.name, str(one.cell.seed)
            words = ("--method", method, "--seed", seed, "--output", str(runs))
            status, out, _ = printed(capsys, *words)
            score = one.score("ece")
            assert status == 0
            assert score is not None
            row = [line for line in out.splitlines() if line.startswith("|")][2]
            assert re.search(rf" {score.value:.2f}\b", row)


def test_the_command_prints_bins_and_draws(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = runs / "curve.svg"
    status, out, error = printed(capsys, "--output", str(runs), "--svg", str(picture))
    assert status == 0
    assert "46.7 to 53.3" in out
    assert "CoOp, top1" in out
    assert "+16.00" in out, "confidence 91 %, accuracy 75 %"
    assert str(picture) in error
    assert picture.read_text().count("CoOp") == 1
    first = picture.read_bytes()
    printed(capsys, "--output", str(runs), "--svg", str(picture))
    assert picture.read_bytes() == first


def test_bins_of_many_curves_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    for recipe in "abcde":
        one = record("coop", 1, SURE, [True] * 4)
        training = replace(one.cell.training, recipe=replace(one.cell.training.recipe, name=recipe))
        store.write(replace(one, cell=replace(one.cell, training=training)))
    status, out, _ = printed(capsys, "--output", str(tmp_path))
    assert status == 0
    assert out.count("top1") == 5
    assert "choose fewer" in out
    assert "46.7 to" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "zeroshot"], "no confidences of the chosen records"),
        (["--method", "rpp"], "no confidences of the chosen records"),
        (["--bins", "0"], "--bins must be from 1 to 1000, not 0"),
    ],
)
def test_what_cannot_be_shown_is_said(
    runs: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    status, _, error = printed(capsys, *words, "--output", str(runs))
    assert status == 2
    assert message in error


def test_a_damaged_file_is_left_out_and_named(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(iter(sorted((runs / "confidences").iterdir())))
    path.write_bytes(path.read_bytes()[:-1])
    status, out, error = printed(capsys, "--output", str(runs))
    assert status == 1
    assert path.name in error
    assert "top1" in out
    assert cli.main(["report", "--output", str(runs)]) == 1
    assert path.name in capsys.readouterr().err


def test_the_page_of_the_report_has_the_curves(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", "--output", str(runs)]) == 0
    page = (runs / "site" / "cross-dataset.html").read_text()
    assert page.count("Reliability: accuracy of the images") == 1
    assert '<svg role="img" aria-label="Reliability"' in page
    assert 'id="reliability-1-' in page
