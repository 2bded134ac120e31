"""AP and IoU are of all images together: what tables, comparisons and ablations make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import ttest_rel
from support.records import record

from rppbench.cli import main
from rppbench.comparison.ablation import ablation
from rppbench.comparison.compare import compare
from rppbench.leaderboard.build import build_with_variants
from rppbench.records.grid import Combination, Grid, Place
from rppbench.records.record import Record, Score
from rppbench.records.store import Store
from rppbench.reporting import ablation_page
from rppbench.reporting.ablation_plots import ablation_figure
from rppbench.reporting.site.files import site

VALUES = {"coop": (30.0, 31.0, 33.5), "rpp": (34.0, 34.5, 36.0), "zeroshot": (29.0,)}


def detected(method: str, seed: int, value: float, dataset: str = "lvis", **how: object) -> Record:
    """A record of detection: AP50 and AP, neither with counts."""
    scores = (Score("AP50", value), Score("AP", value / 2))
    trained = method != "zeroshot"
    made = record(method, dataset, seed, scores=scores, task="detection", trained=trained, **how)
    return replace(made, metric="AP50", labels={**made.labels, "task": "Detection"})


def records(*datasets: str) -> list[Record]:
    return [
        detected(method, seed, value + place, dataset)
        for place, dataset in enumerate(datasets or ("lvis",))
        for method, values in VALUES.items()
        for seed, value in enumerate(values, 1)
    ]


def test_a_comparison_rests_on_the_seeds() -> None:
    (comparison,), remarks = compare(records(), "coop", "rpp")
    assert not comparison.pairs
    assert not remarks
    (column, numbers), (_, halves) = comparison.by_seed
    assert column.metric == "AP50"
    assert numbers.seeds == (1, 2, 3)
    assert numbers.difference is not None
    expected = ttest_rel(VALUES["rpp"], VALUES["coop"])
    assert numbers.difference.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (numbers.difference.low, numbers.difference.high) == pytest.approx(tuple(interval))
    assert numbers.difference.mean == pytest.approx(10 / 3)
    assert halves.difference is not None
    assert comparison.corrected_by_seed == pytest.approx([2 * expected.pvalue] * 2)


def test_what_learns_nothing_is_compared_with_every_seed() -> None:
    (comparison,), _ = compare(records(), "zeroshot", "rpp")
    _, numbers = comparison.by_seed[0]
    assert numbers.first == (29.0,) * 3
    assert numbers.difference is not None
    assert numbers.difference.mean == pytest.approx(34.5 + 1 / 3 - 29)


def test_the_average_is_over_the_seeds_that_all_sets_have() -> None:
    known = [r for r in records("lvis", "coco") if (r.cell.dataset, r.cell.seed) != ("coco", 3)]
    (comparison,), _ = compare(known, "coop", "rpp")
    assert comparison.average_by_seed is not None
    assert comparison.average_by_seed.seeds == (1, 2)
    assert comparison.average_by_seed.first == (30.5, 31.5)


@pytest.mark.parametrize("sets", [("lvis",), ("lvis", "coco", "objects365")])
def test_every_page_can_be_made(
    sets: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for made in records(*sets):
        Store(tmp_path / "runs").write(made)
    output = ("--output", str(tmp_path / "runs"))
    assert main(["leaderboard", *output]) == 0
    assert "| **34.8**" in capsys.readouterr().out
    assert main(["compare", "coop", "rpp", *output, "--images", "3"]) == 0
    told = capsys.readouterr().out
    assert "paired t-test over seeds" in told
    assert "| +3.3 | +0.5 to +6.2 |" in told or "**+3.3**" in told
    assert "Changed images" not in told
    assert main(["compare", "zeroshot", "coop", *output, "--metric", "AP"]) == 0
    capsys.readouterr()
    assert main(["report", *output, "--to", str(tmp_path / "site")]) == 0
    assert "AP50" in (tmp_path / "site" / "index.html").read_text()
    assert site(build_with_variants(records(*sets)), tmp_path)


def test_one_seed_has_a_difference_without_an_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for made in records():
        if made.cell.seed == 1:
            Store(tmp_path / "runs").write(made)
    assert main(["compare", "coop", "rpp", "--output", str(tmp_path / "runs")]) == 0
    told = capsys.readouterr().out
    assert "| AP50 | 30.0 | 34.0 | +4.0 | – | – | 1 |" in told
    assert "neither interval nor p" in told


def grid(seeds: int) -> tuple[Grid, list[Record]]:
    """Four combinations; each option adds something."""
    by_levels: dict[tuple[tuple[str, str], ...], list[Record]] = {}
    for length in (2, 4):
        for kd in (True, False):
            levels = (("length", str(length)), ("kd", "on" if kd else "off"))
            options = (("kd", kd), ("length", length))
            by_levels[levels] = [
                detected("rpp", seed, 30 + length + 2 * kd + seed * (1 + kd / 3), options=options)
                for seed in range(1, seeds + 1)
            ]
    combinations = tuple(
        Combination(levels, tuple(Place(r.key, r.cell.dataset, r.cell.seed) for r in of_one))
        for levels, of_one in by_levels.items()
    )
    return Grid("made", combinations), [r for of_one in by_levels.values() for r in of_one]


def test_an_ablation_rests_on_the_seeds() -> None:
    report = ablation(*grid(3))
    assert report is not None
    text = ablation_page.page(report)
    assert ablation_figure(report) is not None
    assert "paired t-test over seeds" in text
    assert "Main effects need outcomes" in text
    off = report.results[1]
    assert off.against is not None
    assert off.against.by_seed
    assert off.against.difference.mean == pytest.approx(-2 - 2 / 3)
    assert not off.unpaired


def test_an_ablation_of_one_seed_says_why_it_has_no_differences() -> None:
    report = ablation(*grid(1))
    assert report is not None
    text = ablation_page.page(report)
    assert ablation_figure(report) is None
    assert "AP50 is not kept image by image" in text
    assert all(result.against is None for result in report.results)
