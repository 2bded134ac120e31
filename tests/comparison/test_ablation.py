"""Ablation reports: differences from the baseline, main effects, and incomplete combinations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from scipy import stats
from support.records import complete_grid, grid_of, measured, record

from rppbench.comparison.ablation import Ablation, ablation
from rppbench.errors import UsageError
from rppbench.records.grid import Grid
from rppbench.records.record import Failure, Record, Score
from rppbench.reporting import ablation_page
from rppbench.reporting.ablation_plots import ablation_figure
from rppbench.reporting.interval_chart import interval_chart

LEVELS = [("2", "on"), ("2", "off"), ("4", "on"), ("4", "off")]


def reported(by_levels: Mapping[tuple[str, str], Sequence[Record]]) -> Ablation:
    report = ablation(*grid_of(by_levels))
    assert report is not None
    return report


def test_every_combination_is_compared_with_the_baseline() -> None:
    report = reported(complete_grid())
    assert [result.against and result.against.difference.mean for result in report.results] == [
        None,
        pytest.approx(5),
        pytest.approx(10),
        pytest.approx(20),
    ]
    last = report.results[-1]
    assert last.row is not None
    assert last.row.average is not None
    assert last.row.average.mean == pytest.approx(55)
    assert last.against is not None
    assert last.against.difference.low < 20 < last.against.difference.high
    least = last.against.difference.p  # of three, the smallest counts three times
    assert report.corrected[last.combination.label] == pytest.approx(3 * least)


def test_main_effects_are_means_over_the_other_options() -> None:
    report = reported(complete_grid())
    effects = {(e.factor, e.level): e for e in report.effects}
    assert set(effects) == {("length", "4"), ("kd", "off")}
    length = effects["length", "4"]
    assert (length.reference, length.settings, length.expected) == ("2", 2, 2)
    assert (length.first, length.second) == pytest.approx((37.5, 50))
    assert length.difference.mean == pytest.approx(12.5)
    assert effects["kd", "off"].difference.mean == pytest.approx(7.5)
    smaller, larger = sorted(e.difference.p for e in report.effects)
    assert sorted(report.corrected_effects) == pytest.approx(
        [2 * smaller, max(2 * smaller, larger)]
    )


def test_settings_are_averaged_before_images_are_drawn() -> None:
    """Twice the same change on the same images is as sure as once, not surer."""
    right = {"2": "1" * 40 + "0" * 60, "4": "1" * 30 + "0" * 10 + "1" * 30 + "0" * 30}
    cells = {(length, kd): [measured(length, kd, right[length])] for length, kd in LEVELS}
    report = reported(cells)
    effect = next(e for e in report.effects if e.factor == "length")
    alone = report.results[2].against
    assert alone is not None
    width = effect.difference.high - effect.difference.low
    assert width == pytest.approx(alone.difference.high - alone.difference.low, rel=0.05)


def test_a_missing_combination_does_not_bias_main_effects() -> None:
    """Without the best combination, its values are compared where both are there."""
    cells = complete_grid()
    grid, records = grid_of(cells)
    missing = cells["4", "off"][0]
    report = ablation(grid, [r for r in records if r.key != missing.key])
    assert report is not None
    effects = {e.factor: e for e in report.effects}
    assert effects["length"].difference.mean == pytest.approx(10)
    assert (effects["length"].settings, effects["length"].expected) == (1, 2)
    assert effects["kd"].difference.mean == pytest.approx(5)


def test_incomplete_combinations_are_marked_and_say_why() -> None:
    cells = complete_grid()
    grid, records = grid_of(cells)
    failed = replace(
        cells["4", "on"][1], status="failed", scores=(), failure=Failure("oom", "full\nmore")
    )
    gone = {cells["4", "off"][0].key, failed.key, *(r.key for r in cells["2", "off"])}
    report = ablation(grid, [*(r for r in records if r.key not in gone), failed])
    assert report is not None
    assert [(r.done, r.is_complete) for r in report.results] == [
        (4, True),
        (0, False),
        (3, False),
        (3, False),
    ]
    page = ablation_page.page(report)
    assert "| 2 | off | – (0/4) | – | – | – | – | – |" in page
    assert "(3/4)" in page
    assert "- length=4, kd=on is incomplete: Flowers, seed 2 (oom: full; more)." in page
    assert "- length=4, kd=off is incomplete: Flowers, seed 1 (not run)." in page


def test_without_a_baseline_there_are_means_and_no_differences() -> None:
    cells = complete_grid()
    grid, _ = grid_of(cells)
    report = ablation(grid, cells["4", "on"])
    assert report is not None
    assert [result.against for result in report.results] == [None] * 4
    assert report.effects == ()
    page = ablation_page.page(report)
    assert "| 4 | on | 45.0" in page
    assert "The baseline has no record, so there are no differences." in page
    assert ablation(grid, []) is None


def test_scores_without_outcomes_have_means_and_no_difference() -> None:
    cells = {
        levels: [record("rpp", "flowers", 1, 50.0, options=(("length", int(levels[0])),))]
        for levels in (("2", "on"), ("4", "on"))
    }
    report = reported(cells)
    assert report.results[1].against is None
    page = ablation_page.page(report)
    assert "| 4 | on | 50.0 | – | – | – |" in page
    reason = "seed 1: top1 is not kept image by image"
    assert f"Left out of the difference: Flowers ({reason})" in page


def with_gap(record: Record, gap: float) -> Record:
    return replace(record, scores=(*record.scores, Score("loss_gap", gap)))


def gaps_over_seeds(seeds: int) -> Ablation:
    """Without kd the gap is 0.2 nats larger, give or take what a seed does."""
    cells = {
        ("2", kd): [
            with_gap(measured("2", kd, "1100", dataset, seed), 0.3 + extra * (1 + seed / 10))
            for dataset in ("flowers", "pets")
            for seed in range(1, seeds + 1)
        ]
        for kd, extra in (("on", 0.0), ("off", 0.2))
    }
    grid, records = grid_of(cells)
    report = ablation(replace(grid, metric="loss_gap"), records)
    assert report is not None
    return report


def test_a_loss_is_compared_over_seeds_in_nats() -> None:
    report = gaps_over_seeds(3)
    against = report.results[1].against
    assert against is not None
    expected = stats.ttest_1samp([0.22, 0.24, 0.26], 0.0)
    interval = expected.confidence_interval()
    assert against.difference.mean == pytest.approx(0.24)
    assert against.difference.low == pytest.approx(interval.low)
    assert against.difference.high == pytest.approx(interval.high)
    assert against.difference.p == pytest.approx(expected.pvalue)
    page = ablation_page.page(report)
    assert "Measured: loss_gap in nats" in page
    assert "in nats; bold where p < 0.05. Lower is better." in page
    assert "| 2 | off | 0.540 ± 0.050 | **+0.240** | +0.190 to +0.290 |" in page
    assert "loss_gap is not kept image by image: paired t-test over seeds" in page
    assert ablation_page.file_stem(report.grid) == "ablation-made-loss_gap"
    figure = ablation_figure(report)
    assert figure is not None
    assert figure.axes[0].get_ylabel() == "Difference, nats"


def test_a_loss_under_one_seed_has_no_interval() -> None:
    report = gaps_over_seeds(1)
    assert report.results[1].against is None
    assert "loss_gap is not kept image by image" in ablation_page.page(report)


def test_a_metric_that_no_record_has_is_an_error() -> None:
    grid, records = grid_of(complete_grid())
    with pytest.raises(UsageError, match=r"no score is named 'top'.*did you mean 'top1'"):
        ablation(replace(grid, metric="top"), records)


def test_a_grid_of_one_option_has_no_main_effects() -> None:
    cells = {levels: records for levels, records in complete_grid().items() if levels[1] == "on"}
    report = reported(cells)
    assert report.effects == ()
    assert "Main effects" not in ablation_page.page(report)


def test_a_figure_has_a_panel_for_each_option_and_each_pair() -> None:
    figure = ablation_figure(reported(complete_grid()))
    assert figure is not None
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["length: main effect", "kd: main effect", "length × kd"]
    assert [text.get_text() for text in figure.axes[2].get_legend().get_texts()] == [
        "kd=on",
        "kd=off",
    ]
    alone = {levels: records for levels, records in complete_grid().items() if levels[1] == "on"}
    single = ablation_figure(reported(alone))
    assert single is not None
    assert len(single.axes) == 1


def test_a_terminal_shows_differences_on_one_scale_with_zero_marked() -> None:
    head, *lines, scale = interval_chart(reported(complete_grid()))
    assert head.startswith("differences from length=2, kd=on")
    assert [line.split()[:3] for line in lines] == [
        ["length=2,", "kd=off", "+5.0"],
        ["length=4,", "kd=on", "+10.0"],
        ["length=4,", "kd=off", "+20.0"],
    ]
    assert len({line.index("│") for line in lines}) == 1
    assert [line.index("●") for line in lines] == sorted(line.index("●") for line in lines)
    assert "+25.2" in scale


def test_the_files_are_a_function_of_the_records(tmp_path: Path) -> None:
    """The grid is read back from the JSON; the order of records does not matter."""
    grid, records = grid_of(complete_grid())
    report = ablation(grid, records)
    assert report is not None
    before = {path.name: path.read_bytes() for path in ablation_page.write(report, tmp_path)}
    assert set(before) == {f"ablation-made.{ending}" for ending in ("md", "json", "svg", "png")}
    assert ablation_page.stored_grids(tmp_path) == [grid]
    again = ablation_page.rewrite(records[::-1], tmp_path, tmp_path / "again")
    assert {path.name: path.read_bytes() for path in again} == before
    assert Grid.from_json(json.loads(json.dumps(asdict(grid)))) == grid


def test_a_file_without_a_valid_grid_is_named(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"grid": {"combinations": []}}'):
        (tmp_path / "ablation-x.json").write_text(text)
        with pytest.raises(UsageError, match=r"ablation-x\.json does not hold a grid"):
            ablation_page.stored_grids(tmp_path)
