"""Paired differences and p-values: exact where theory is, and of the stated coverage elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr
from support.simulations import interval_coverage

from rppbench.stats.p_values import holm, mcnemar
from rppbench.stats.two_level import Difference, Estimate, Part, Values, estimate, exact_p
from rppbench.stats.two_level import difference as of_parts

Random = np.random.Generator


def difference(values: list[Values], groups: NDArray[np.int64] | None = None) -> Difference:
    return of_parts([Part(of_set, groups) for of_set in values])


def changes(gained: int, lost: int, images: int, seeds: int = 1) -> NDArray[np.int8]:
    row = [1] * gained + [-1] * lost + [0] * (images - gained - lost)
    return np.array([row] * seeds, dtype=np.int8)


def test_mcnemar_is_the_binomial_test_of_the_images_that_changed() -> None:
    for gained, lost in ((0, 0), (1, 0), (0, 5), (7, 7), (30, 12), (400, 300)):
        n = gained + lost
        expected = stats.binomtest(gained, n, 0.5).pvalue if n else 1.0
        assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_holms_correction_on_a_worked_example() -> None:
    # 4 x 0.01; 3 x 0.02; 2 x 0.03 = 0.06 and 0.04, raised to the one before.
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_mean_is_that_of_seeds_and_images_then_of_data_sets() -> None:
    few, many = changes(10, 0, 100), changes(0, 100, 1000)
    assert difference([few]).mean == pytest.approx(10)
    assert difference([few, many]).mean == pytest.approx(0)
    seeds = np.concatenate([changes(10, 0, 100), changes(20, 0, 100), changes(0, 0, 100)])
    assert difference([seeds]).mean == pytest.approx(10)


def test_with_one_seed_and_many_images_it_is_the_textbook_interval() -> None:
    sample = changes(300, 200, 2000)
    result = difference([sample])
    half = 1.96 * 100 * sample.std() / math.sqrt(2000)
    assert result.low == pytest.approx(result.mean - half, abs=0.1)
    assert result.high == pytest.approx(result.mean + half, abs=0.1)
    assert result.p < 0.001


def test_where_seeds_are_all_that_varies_it_is_the_t_interval_over_seeds() -> None:
    """Every image changes the same way within a seed, in four seeds of 1, -1, 1, 0."""
    sample = np.array([[1], [-1], [1], [0]], dtype=np.int8).repeat(5000, axis=1)
    low, high = stats.t.interval(0.95, 3, loc=25, scale=stats.sem([100, -100, 100, 0]))
    result = difference([sample])
    assert (result.low, result.high) == (
        pytest.approx(low, rel=0.05),
        pytest.approx(high, rel=0.05),
    )


def test_the_same_images_say_less_than_new_ones() -> None:
    """Three seeds that agree on every image are no more evidence than one."""
    one, three = difference([changes(30, 10, 200)]), difference([changes(30, 10, 200, seeds=3)])
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.03)


def test_no_change_is_no_difference_but_no_certainty_either() -> None:
    result = difference([changes(0, 0, 50)])
    assert result.mean == 0
    assert result.low < 0 < result.high
    assert result.p > 0.9


def test_one_image_is_enough_for_an_answer() -> None:
    assert math.isfinite(difference([changes(1, 0, 1, seeds=2)]).high)


@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 4])
def test_exchanging_the_methods_changes_signs_and_nothing_else(seeds: int, size: int) -> None:
    sample = np.random.default_rng(seeds).integers(-1, 2, (seeds, 400)).astype(np.int8)
    groups = np.arange(400) // size
    one, other = difference([sample], groups), difference([-sample], groups)
    assert (one.mean, one.low, one.high, one.p) == (-other.mean, -other.high, -other.low, other.p)


def test_an_interval_excludes_zero_exactly_if_p_is_below_five_percent() -> None:
    for seeds in (1, 2, 3, 10):
        for spread in (0.1, 1.0, 10.0):
            made = Estimate(1.0, 1.0, 79.0, spread, seeds - 1, seeds) if seeds > 1 else None
            result = made or Estimate(1.0, 1.0 + spread, 79.0, 0.0, 0, 1)
            half = result.half_width()
            assert result.p(1.0 + half) == pytest.approx(0.05, abs=1e-8)
            assert result.p(1.0 - 0.999 * half) > 0.05 > result.p(1.0 - 1.001 * half)


def test_without_an_images_part_p_is_that_of_students_t() -> None:
    for degrees in (1, 2, 9):
        for t in (0.5, 2.0, 5.0, 20.0):
            result = Estimate(t, 0.0, math.inf, 1.0, degrees, degrees + 1).p()
            assert result == pytest.approx(2 * stats.t.sf(t, degrees), rel=0.01)


def test_copies_of_an_image_in_one_group_are_no_more_evidence_than_the_image() -> None:
    sample = np.random.default_rng(1).integers(-1, 2, (1, 300)).astype(np.int8)
    copied = sample.repeat(4, axis=1)
    once = estimate([Part(sample)])
    grouped = estimate([Part(copied, np.arange(1200) // 4)])
    apart = estimate([Part(copied)])
    assert grouped.images == pytest.approx(once.images, rel=0.02)
    assert apart.images == pytest.approx(once.images / 4, rel=0.02)
    assert grouped.image_degrees == once.image_degrees == 299


def test_groups_of_different_sizes_have_the_variance_of_a_ratio() -> None:
    """Held against the delete-one-group jackknife."""
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), random.integers(1, 9, 60))
    values = (random.random((1, len(groups))) < random.random(60)[groups]).astype(np.int8)
    left = [values[0, groups != group].mean() for group in range(60)]
    expected = 59 / 60 * float(((np.array(left) - np.mean(left)) ** 2).sum())
    assert estimate([Part(values, groups, ())]).images == pytest.approx(expected, rel=0.05)


def test_two_seeds_that_happen_to_agree_are_no_evidence_that_seeds_do_not_matter() -> None:
    """The same number of images lost, but other images."""
    values = np.zeros((2, 80), np.int8)
    values[0, :20] = values[1, 30:50] = -1
    result = estimate([Part(values)])
    assert result.seeds == result.interaction > 0
    assert result.p() > 0.05
    assert result.half_width() > estimate([Part(values.mean(axis=0, keepdims=True))]).half_width()


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_an_interval_over_seeds_is_never_narrower_than_that_over_images_alone(seeds: int) -> None:
    for trial in range(50):
        values = np.random.default_rng(trial).integers(-1, 2, (seeds, 100)).astype(np.int8)
        held = estimate([Part(values.mean(axis=0, keepdims=True))])
        assert estimate([Part(values)]).half_width() > 0.999 * held.half_width()


def test_data_sets_of_the_same_groups_are_no_more_evidence_than_one() -> None:
    random = np.random.default_rng(4)
    values = random.integers(-1, 2, (3, 200)).astype(np.int8)
    groups = np.arange(200) // 2
    once = estimate([Part(values, groups)])
    same = estimate([Part(values, groups, group_set="drawings")] * 4)
    other = estimate([Part(values, groups, group_set=name) for name in "abcd"])
    assert same.images == pytest.approx(once.images)
    assert same.interaction == pytest.approx(once.interaction)
    assert same.image_degrees == pytest.approx(once.image_degrees)
    assert other.images == pytest.approx(once.images / 4)
    assert other == estimate([Part(values, groups)] * 4)
    opposite = estimate([Part(sign * values, groups, (), "drawings") for sign in (1, -1)])
    assert opposite.images == 0, "what one set gains the other loses, whatever the drawings"


def test_a_seed_is_another_draw_on_a_data_set_with_a_training_of_its_own() -> None:
    random = np.random.default_rng(8)
    sets = [random.integers(-1, 2, (3, 50)).astype(np.int8) for _ in range(4)]
    own = [one.mean(axis=1).var(ddof=1) / 3 for one in sets]
    both = (sets[0].mean(axis=1) + sets[3].mean(axis=1)).var(ddof=1) / 3
    averages = np.sum([one.mean(axis=1) for one in sets], axis=0).var(ddof=1) / 3

    def made(*trained_on: str) -> Estimate:
        return estimate(
            [Part(v, trained_on=frozenset(t)) for v, t in zip(sets, trained_on, strict=True)]
        )

    def moderated(variances: list[float], averages: float = averages) -> float:
        """A correlation of 0.05 counts for four degrees of freedom, the three seeds for two."""
        pairs = sum(math.sqrt(a * b) for a, b in permutations(variances, 2))
        return (4 * (sum(variances) + 0.05 * pairs) + 2 * averages) / 6

    apart, linked, shared = made("a", "b", "c", "d"), made("ax", "b", "c", "xd"), made(*"aaaa")
    assert apart.seeds == pytest.approx(moderated(own) / 16)
    assert apart.seed_degrees == pytest.approx(min(6, 2 * sum(own) ** 2 / sum(v * v for v in own)))
    families = [both, own[1], own[2]]
    assert linked.seeds == pytest.approx(moderated(families) / 16)
    assert linked.seed_degrees == pytest.approx(
        2 * sum(families) ** 2 / sum(v * v for v in families)
    )
    assert shared == estimate([Part(one) for one in sets]), "what is not known counts as shared"
    assert made("ab", "bc", "cd", "d") == shared, "each has one in common with the next"
    assert (shared.seed_degrees, apart.seed_count) == (2, 3)
    assert apart.mean == shared.mean
    assert apart.images == shared.images
    alike = [Part(sets[0], trained_on=frozenset({name})) for name in "abcd"]
    expected = pytest.approx(moderated([own[0]] * 4, averages=16 * own[0]) / 16)
    assert estimate(alike).seeds == expected, "luck that is shared all the same"
    opposite = [replace(alike[0], values=-sets[0]), *alike[1:2]]
    expected = pytest.approx(moderated([own[0]] * 2, averages=0.0) / 4)
    assert estimate(opposite).seeds == expected, "what cancels may do so by chance"


@pytest.mark.parametrize("share", [0.02, 0.05, 0.5])
@pytest.mark.parametrize("drawings", [25, 150])
def test_the_interval_of_few_right_images_holds_the_truth(share: float, drawings: int) -> None:
    """Four renders of a drawing are mostly right or wrong together."""
    assert interval_coverage.of_a_row(share, drawings, 300) > 90


def test_mcnemar_is_for_independent_counted_images_of_one_seed() -> None:
    values = np.array([[1, 1, 1, -1, 0, 0]], np.int8)
    assert exact_p([Part(values)]) == pytest.approx(0.625)
    for parts in (
        [Part(values)] * 2,
        [Part(values.repeat(2, axis=0))],
        [Part(values, np.array([0, 0, 1, 1, 2, 2]))],
        [Part(values, None, ())],
    ):
        assert exact_p(parts) is None


# --- coverage -----------------------------------------------------------------------------------


def simulated_changes(
    random: Random, seeds: int, images: int, noise: tuple[float, float, float]
) -> NDArray[np.int8]:
    """Changes (seeds, images) of two methods, right where skill plus noise is above 0.

    `noise` holds the standard deviations of the seeds, the images and the residual.
    """
    of_seed, of_image, residual = noise
    hard = random.normal(0, 1.5, images)
    right = [
        skill
        + random.normal(0, of_seed, (seeds, 1))
        + hard
        + random.normal(0, of_image, images)
        + random.normal(0, residual, (seeds, images))
        > 0
        for skill in (0.5, 0.7)
    ]
    return right[1].astype(np.int8) - right[0].astype(np.int8)


@pytest.mark.parametrize(
    ("seeds", "images", "noise"),
    [
        (1, 50, (0.0, 0.3, 0.1)),  # images alone, few of them
        (1, 300, (0.0, 0.5, 0.1)),
        (2, 300, (0.1, 0.5, 0.3)),
        (3, 300, (0.3, 0.2, 0.1)),  # mostly seeds
        (3, 300, (0.0, 0.1, 0.8)),  # mostly single images under single seeds
        (5, 200, (0.1, 0.5, 0.3)),
    ],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(
    seeds: int, images: int, noise: tuple[float, float, float]
) -> None:
    scale = math.sqrt(1.5**2 + sum(part**2 for part in noise))
    truth = 100 * float(ndtr(0.7 / scale) - ndtr(0.5 / scale))
    trials, covered = 500, 0
    for trial in range(trials):
        result = difference([simulated_changes(np.random.default_rng(trial), seeds, images, noise)])
        covered += result.low <= truth <= result.high
    error = math.sqrt(0.95 * 0.05 / trials)
    assert 0.95 - 3 * error <= covered / trials <= (1.0 if seeds == 2 else 0.99)


def test_resampling_a_few_seeds_would_miss_the_truth_too_often() -> None:
    """Why the seeds' part follows t: the plain bootstrap, in the same simulation."""
    noise, trials, missed = (0.3, 0.2, 0.1), 300, 0
    scale = math.sqrt(1.5**2 + sum(part**2 for part in noise))
    truth = float(ndtr(0.7 / scale) - ndtr(0.5 / scale))
    for trial in range(trials):
        random = np.random.default_rng(trial)
        by_seed = simulated_changes(random, 3, 300, noise).mean(axis=1)
        draws = by_seed[random.integers(3, size=(1000, 3))].mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        missed += not low <= truth <= high
    assert missed / trials > 0.12


def test_data_sets_share_their_seeds() -> None:
    """A lucky seed is lucky on all sets: five sets are not five times as many seeds."""
    trials, covered, truth = 300, 0, 0.0
    for trial in range(trials):
        random = np.random.default_rng(trial)
        luck = random.normal(0, 0.1, (3, 1))
        parts = [
            (random.random((3, 200)) < 0.5 + luck).astype(np.int8)
            - (random.random((3, 200)) < 0.5).astype(np.int8)
            for _ in range(5)
        ]
        result = difference(parts)
        covered += result.low <= truth <= result.high
    assert covered / trials == pytest.approx(0.95, abs=0.04)


def test_ten_data_sets_of_three_seeds_each_know_the_seeds_better_than_three_seeds() -> None:
    trials, covered, widths = 300, 0, []
    for trial in range(trials):
        random = np.random.default_rng(trial)
        values = [
            (random.random((3, 200)) < 0.5 + random.normal(0, 0.1, (3, 1))).astype(np.int8)
            - (random.random((3, 200)) < 0.5).astype(np.int8)
            for _ in range(10)
        ]
        result = of_parts([Part(v, trained_on=frozenset({str(at)})) for at, v in enumerate(values)])
        covered += result.low <= 0 <= result.high
        shared = difference(values)
        widths.append((shared.high - shared.low, result.high - result.low))
    assert 0.95 <= covered / trials <= 0.995, "more than 95 %, since a little luck may be shared"
    together, apart = np.mean(widths, axis=0)
    assert together > 1.3 * apart


def test_settings_of_the_same_images_are_averaged_first() -> None:
    """As main effects do it; images of their own in each setting would make them too sure."""
    scale = math.sqrt(1.5**2 + 0.05**2 + 0.8**2 + 0.2**2)
    truth = 100 * float(ndtr(0.7 / scale) - ndtr(0.5 / scale))
    trials, covered, apart = 200, 0, 0
    for trial in range(trials):
        random = np.random.default_rng(trial)
        hard = random.normal(0, 1.5, 300)
        sides = [(skill, hard + random.normal(0, 0.8, 300)) for skill in (0.5, 0.7)]
        settings = []
        for _ in range(4):
            lost, gained = (
                skill + images + random.normal(0, 0.05, (3, 1)) + random.normal(0, 0.2, (3, 300))
                > 0
                for skill, images in sides
            )
            settings.append(gained.astype(np.int8) - lost.astype(np.int8))
        result = difference([np.mean(settings, axis=0)])
        covered += result.low <= truth <= result.high
        result = difference(settings)
        apart += result.low <= truth <= result.high
    assert 0.90 <= covered / trials <= 0.99
    assert apart / trials < 0.88
