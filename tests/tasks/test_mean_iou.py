"""Scores of label maps, compared with a plain count by class and scikit-learn's matrix."""

from __future__ import annotations

import numpy as np
import pytest

from rppbench.contracts.regions import IGNORED
from rppbench.errors import UsageError
from rppbench_tasks.segmenting.mean_iou import Absent, Confusion, Labels


def maps(seed: int = 0) -> list[tuple[Labels, Labels]]:
    """Three images of six classes: 4 is never true, 5 neither true nor predicted."""
    draw = np.random.default_rng(seed)
    pairs = []
    for height, width in [(7, 9), (12, 5), (20, 20)]:
        truth = draw.integers(0, 4, (height, width)).astype(np.uint16)
        other = draw.integers(0, 5, (height, width)).astype(np.uint16)
        predicted = np.where(draw.random((height, width)) < 0.5, truth, other)
        truth[draw.random((height, width)) < 0.2] = IGNORED
        predicted[draw.random((height, width)) < 0.1] = IGNORED
        pairs.append((truth, predicted.astype(np.uint16)))
    return pairs


def scored(pairs: list[tuple[Labels, Labels]], unseen: tuple[int, ...] = ()) -> dict[str, float]:
    confusion = Confusion(6)
    for truth, predicted in pairs:
        confusion.add(truth, predicted)
    return {score.metric: score.value for score in confusion.scores(unseen)}


def test_scores_are_those_of_a_plain_count() -> None:
    pixels = [
        (int(t), int(p))
        for truth, predicted in maps()
        for t, p in zip(truth.ravel(), predicted.ravel(), strict=True)
        if t != IGNORED
    ]
    ious, accuracies, weighted = {}, [], 0.0
    for label in range(6):
        both = sum(t == p == label for t, p in pixels)
        either = sum(label in (t, p) for t, p in pixels)
        true = sum(t == label for t, _ in pixels)
        if either:
            ious[label] = both / either
            weighted += true / len(pixels) * both / either
        if true:
            accuracies.append(both / true)
    assert set(ious) == {0, 1, 2, 3, 4}
    scores = scored(maps(), unseen=(2, 4, 5))
    seen = np.mean([ious[0], ious[1], ious[3]])
    unseen = np.mean([ious[2], ious[4]])
    right = sum(t == p for t, p in pixels)
    assert scores == pytest.approx(
        {
            "hiou": 200 * seen * unseen / (seen + unseen),
            "seen": 100 * seen,
            "unseen": 100 * unseen,
            "miou": 100 * np.mean(list(ious.values())),
            "fwiou": 100 * weighted,
            "pixel_accuracy": 100 * right / len(pixels),
            "mean_accuracy": 100 * np.mean(accuracies),
        }
    )


def test_counts_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    confusion = Confusion(6)
    for truth, predicted in maps():
        confusion.add(truth, predicted)
    truth = np.concatenate([t.ravel() for t, _ in maps()])
    predicted = np.concatenate([p.ravel() for _, p in maps()])
    labels = [*range(6), IGNORED]
    kept = truth != IGNORED
    expected = metrics.confusion_matrix(truth[kept], predicted[kept], labels=labels)
    assert (confusion.counts == expected[:6]).all()


def test_without_unseen_classes_there_is_no_harmonic_mean() -> None:
    assert list(scored(maps())) == ["miou", "fwiou", "pixel_accuracy", "mean_accuracy"]


def test_a_pixel_without_any_class_is_a_miss_and_no_false_alarm() -> None:
    truth = np.zeros((2, 2), np.uint16)
    predicted = np.array([[0, 0], [IGNORED, IGNORED]], np.uint16)
    assert scored([(truth, predicted)])["miou"] == 50.0


def test_maps_that_do_not_fit_and_labels_out_of_range_are_refused() -> None:
    confusion = Confusion(6)
    good = np.zeros((2, 2), np.uint16)
    with pytest.raises(UsageError, match="pixels"):
        confusion.add(good, np.zeros((2, 3), np.uint16))
    for truth, predicted in [(good + 6, good), (good, good + 7), (good, good + 255)]:
        with pytest.raises(UsageError, match="beyond its 6 classes"):
            confusion.add(truth.astype(np.uint16), predicted.astype(np.uint16))
    with pytest.raises(UsageError, match="no pixel"):
        list(confusion.scores())


@pytest.mark.parametrize("absent", ["count", "skip"])
def test_influence_is_how_the_score_changes_without_an_image(absent: Absent) -> None:
    pairs = maps(3)
    complete = Confusion(6)
    for truth, predicted in pairs:
        complete.add(truth, predicted)
    without = []
    for left_out in range(3):
        confusion = Confusion(6)
        for at, (truth, predicted) in enumerate(pairs):
            if at != left_out:
                confusion.add(truth, predicted)
        without.append({score.metric: score.value for score in confusion.scores((2, 4), absent)})
    kept = {s.metric: s.per_image for s in complete.scores((2, 4), absent) if s.per_image}
    assert set(kept) == {"hiou", "seen", "unseen", "miou"}
    for name, per_image in kept.items():
        values = np.array([one[name] for one in without])
        expected = 2 * (values.mean() - values)
        assert per_image.influence() == pytest.approx(expected.tolist(), rel=2e-3, abs=1e-3)
