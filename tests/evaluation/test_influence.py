"""How much AP depends on each scene, and the intervals over scenes and seeds that come of it."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from support.detections import RandomDetectionSet
from support.records import record

from rppbench.comparison.compare import compare
from rppbench.contracts.dataset import Sample
from rppbench.contracts.regions import UNLABELLED, Instance
from rppbench.evaluation import leave_one_out
from rppbench.evaluation.average_precision import AveragePrecision
from rppbench.leaderboard.outcomes import Outcomes, outcomes_of
from rppbench.records.codec import decode, encode
from rppbench.records.outcomes import PerImage, pack_influence, unpack_influence
from rppbench.records.record import Record, Score
from rppbench.stats.two_level import estimate

NAMES = ("AP50", "AP", "AP50_seen", "AP50_unseen")


class Drawn(RandomDetectionSet):
    """Some of the images of another set, in any number."""

    def __init__(self, data: RandomDetectionSet, at: Sequence[int]) -> None:
        super().__init__(images=0)
        self.at, self.boxes = at, [data.boxes[number] for number in at]

    def samples(self, split: str) -> Sequence[Sample]:
        return [Sample(f"{place}/{number}", UNLABELLED) for place, number in enumerate(self.at)]

    def instances(self, sample: Sample) -> Sequence[Instance]:
        return self.boxes[int(sample.key.partition("/")[0])]


def scored(data: RandomDetectionSet, left_out: int = -1) -> dict[str, Score]:
    scorer = AveragePrecision(data)
    for at, sample in enumerate(data.samples("test")):
        if at != left_out:
            scorer.add(sample, data.detections(sample))
    return {score.metric: score for score in scorer.scores()}


def influence(score: Score) -> list[float]:
    assert score.per_image is not None
    values = score.per_image.influence()
    assert values is not None
    return values


@pytest.mark.parametrize("seed", [0, 1])
def test_influence_is_how_the_score_changes_without_an_image(seed: int) -> None:
    data = RandomDetectionSet(images=12, seed=seed)
    complete = scored(data)
    without = [scored(data, at) for at in range(12)]
    assert {name for name, score in complete.items() if score.per_image} == set(NAMES)
    for name in NAMES:
        values = np.array([one[name].value for one in without])
        expected = 11 * (values.mean() - values)
        assert influence(complete[name]) == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-3)
        assert np.ptp(expected) > 5


def test_large_sets_masks_and_lvis_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    federated = RandomDetectionSet(images=4, federated=True)
    assert not any(score.per_image for score in scored(federated).values())
    monkeypatch.setattr(leave_one_out, "WORK", 10)
    assert not any(score.per_image for score in scored(RandomDetectionSet(images=4)).values())


def test_influence_is_kept_in_three_digits_and_damage_is_an_error() -> None:
    values = [0.0, -1.5, 1234.5678, 1e9, -3e-5]
    read = unpack_influence(pack_influence(values))
    assert read == pytest.approx([0.0, -1.5, 1234.5678, 65504.0, -3e-5], rel=1e-3)
    not_a_number = b64encode(zlib.compress(struct.pack("<e", float("nan")))).decode()
    for text in ("AA==", not_a_number):
        with pytest.raises(ValueError, match="influence"):
            unpack_influence(text)


def dense(method: str, seed: int, without: Sequence[float], value: float = 20.0) -> Record:
    score = Score("hiou", value, per_image=PerImage.left_out(without))
    return replace(record(method, "scenes", seed, scores=(score,)), metric="hiou")


def test_scenes_are_the_units_of_a_score_that_is_no_mean_over_them() -> None:
    without = [19.0, 21.0, 20.5, 19.5, 20.0]
    stored = decode(encode(dense("coop", 1, without)))
    kept = outcomes_of(stored, "hiou")
    assert isinstance(kept, Outcomes)
    assert kept.values.mean() == pytest.approx(0.2)
    jackknife = sqrt(4 / 5 * ((np.array(without) - 20) ** 2).sum())
    of_one_seed = replace(kept.part, values=kept.values[None])
    assert 100 * sqrt(estimate([of_one_seed]).images) == pytest.approx(jackknife, rel=1e-3)


def test_methods_are_compared_over_scenes_and_seeds() -> None:
    draw = np.random.default_rng(0)
    shared = draw.normal(0, 0.2, 60)  # what makes scenes hard for both
    records = [
        dense(method, seed, (value - shared + draw.normal(0, 0.01, 60)).tolist(), value)
        for seed in (1, 2, 3)
        for method, value in (("coop", 20.0 + seed / 10), ("rpp", 21.0 + seed / 10))
    ]
    (comparison,), _ = compare(records, "coop", "rpp")
    (pair,) = comparison.pairs
    assert not comparison.by_seed
    assert pair.seeds == (1, 2, 3)
    assert pair.images == 60
    assert pair.difference.mean == pytest.approx(1, abs=0.01)
    # Both methods saw the same scenes: what is hard for both leaves the difference alone.
    assert 0 < pair.difference.high - pair.difference.low < 1
    assert pair.difference.p < 0.001


@pytest.mark.slow
def test_the_spread_is_about_that_of_drawing_images_again() -> None:
    data = RandomDetectionSet(images=60, seed=3)
    values = np.array(influence(scored(data)["AP50"]))
    jackknife = sqrt((values**2).sum() / 59 / 60)
    draw, drawn = np.random.default_rng(0), []
    for _ in range(40):
        scorer = AveragePrecision(Drawn(data, draw.integers(0, 60, 60).tolist()))
        for sample in scorer.data.samples("test"):
            scorer.add(sample, data.detections(Sample(sample.key.partition("/")[2], UNLABELLED)))
        drawn.append(scorer.scores()[0].value)
    assert jackknife == pytest.approx(np.std(drawn, ddof=1), rel=0.4)
