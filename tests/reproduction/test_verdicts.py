"""Verdicts by hand: the mean over seeds, its interval, the tolerance and the printed rounding."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from support.records import record

from rppbench.leaderboard.published import PublishedNumber, read_rows
from rppbench.records.record import Failure, Record, Score
from rppbench.reproduction.cards import Card, Goal
from rppbench.reproduction.page import page
from rppbench.reproduction.targets import Target
from rppbench.reproduction.verdicts import Outcome, counts, outcomes

TABLE = """
origin: A paper
task: few-shot
backbone: demo
kind: original
metric: {metric}
tables:
  - place: Table 1
    columns: [{{name: pair, over: [flowers, pets]}}]
    rows: [{{title: CoOp, method: coop, values: [{value}]}}]
"""


@pytest.fixture
def number(tmp_path: Path) -> PublishedNumber:
    return read(tmp_path, "50.00")


def read(folder: Path, value: str, metric: str = "top1") -> PublishedNumber:
    path = folder / "paper.yaml"
    path.write_text(TABLE.format(value=value, metric=metric))
    ((number,),) = (row.numbers.values() for row in read_rows(path))
    return number


def outcome(
    number: PublishedNumber, values: Sequence[Sequence[float | None]], tolerance: float = 1.0
) -> Outcome:
    """`values` of (flowers, pets) for each seed; None is a cell without a record."""
    records: dict[str, Record] = {}
    by_seed = {}
    for seed, pair in enumerate(values, 1):
        made = [
            record(dataset=name, seed=seed, value=value or 0.0)
            for name, value in zip(("flowers", "pets"), pair, strict=True)
        ]
        by_seed[seed] = tuple(one.cell for one in made)
        records |= {
            one.key: one for one, value in zip(made, pair, strict=True) if value is not None
        }
    (result,) = outcomes([Target(Goal(number, tolerance, False), by_seed)], records)
    return result


def test_the_mean_is_over_data_sets_and_then_over_seeds(number: PublishedNumber) -> None:
    result = outcome(number, [(48.0, 50.0), (49.0, 51.0), (50.0, 52.0)])
    assert result.measured is not None
    assert result.measured.mean == pytest.approx(50.0)
    assert result.measured.half_width == pytest.approx(4.302653 / 3**0.5)  # t(2) s / sqrt(3)
    assert result.difference == pytest.approx(0.0)
    assert (result.seeds, result.expected, result.verdict) == (3, 3, "reproduced")


@pytest.mark.parametrize(
    ("mean", "spread", "verdict"),
    [
        (51.004, 0.0, "reproduced"),  # one point and less than half of the last digit
        (51.006, 0.0, "differs"),
        (48.996, 0.0, "reproduced"),
        (48.9, 0.0, "differs"),
        (51.5, 1.0, "within the interval"),  # half width 2.48
        (52.6, 1.0, "differs"),
    ],
)
def test_tolerance_rounding_and_interval(
    number: PublishedNumber, mean: float, spread: float, verdict: str
) -> None:
    values = [(mean + shift, mean + shift) for shift in (-spread, 0.0, spread)]
    assert outcome(number, values).verdict == verdict


def test_a_printed_spread_is_narrower_than_a_point(number: PublishedNumber) -> None:
    assert outcome(number, [(50.5, 50.5)]).verdict == "reproduced"
    assert outcome(number, [(50.5, 50.5)], tolerance=0.15).verdict == "differs"


def test_a_seed_that_lacks_a_cell_does_not_count(number: PublishedNumber) -> None:
    result = outcome(number, [(50.0, 50.0), (90.0, None)])
    assert result.measured is not None
    assert result.measured.mean == 50.0
    assert (result.seeds, result.expected, result.verdict) == (1, 2, "incomplete")
    assert result.reason == "pets, seed 2: not run yet"
    assert outcome(number, [(None, 1.0)]).measured is None


def test_the_reason_of_a_failure_is_given(number: PublishedNumber) -> None:
    failed = record(failure=Failure("oom", "no room\nmore"))
    (result,) = outcomes(
        [Target(Goal(number, 1.0, False), {1: (failed.cell,)})], {failed.key: failed}
    )
    assert result.reason == "flowers, seed 1: oom: no room"


def test_the_harmonic_mean_of_averages_is_that_of_the_means(tmp_path: Path) -> None:
    """Of (60, 20) and (40, 60): HM of 50 and 40, and not the mean of 30 and 48."""
    number = read(tmp_path, "44.44", "harmonic mean of the averages")
    made = [
        record(
            dataset=name, scores=(Score("harmonic_mean", 1.0), Score("base", a), Score("new", b))
        )
        for name, a, b in (("flowers", 60.0, 20.0), ("pets", 40.0, 60.0))
    ]
    target = Target(Goal(number, 0.0, False), {1: tuple(one.cell for one in made)})
    (result,) = outcomes([target], {one.key: one for one in made})
    assert result.measured is not None
    assert result.measured.mean == pytest.approx(2 * 50 * 40 / 90)
    assert result.verdict == "reproduced"


def test_the_page_has_each_number_and_every_reason(number: PublishedNumber) -> None:
    far = outcome(number, [(60.0, 60.0), (60.0, 60.0)])
    none = Outcome(Goal(number, 1.0, False), "not run", reason="no | method")
    results = [far, none]
    assert counts(results) == "1 differs, 1 not run"
    card = Card("a:b", "A table", "paper", ("Table 1",), note="one remark")
    text = page(card, results, [1, 2], "fp32")
    assert "**1 differs, 1 not run** of 2 numbers." in text
    assert "| CoOp | pair | 50.00 | 60.000 ± 0.000 | +10.000 | 1 | 2/2 | **differs** |" in text
    assert "| CoOp | pair | 50.00 | – | – | 1 | – | not run |" in text
    assert "- not run: CoOp, pair: no \\| method" in text
    assert "One remark." in text
    assert number.value == Decimal("50.00")
