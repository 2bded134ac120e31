"""Intervals, tests between rows and what is kept of them, from outcomes of images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.records import record

from rppbench.cli import main
from rppbench.comparison.compare import compare
from rppbench.leaderboard import statistics
from rppbench.leaderboard.build import build
from rppbench.leaderboard.kept import FILE, Kept
from rppbench.leaderboard.tables import Row, Table
from rppbench.records.cell import Training
from rppbench.records.outcomes import PerImage
from rppbench.records.record import Record, Score
from rppbench.records.store import Store
from rppbench.reporting import markdown
from rppbench.stats.intervals import harmonic_mean
from rppbench.stats.p_values import mcnemar
from rppbench.stats.two_level import Part, difference, estimate

SETS = ("birds", "cars", "maps", "pets")
SHARES = {"zeroshot": 0.4, "coop": 0.5, "rpp": 0.503, "pomp": 0.6}


def outcomes(method: str, name: str, seed: int, images: int = 400) -> list[bool]:
    """Images are hard or easy alike for all methods."""
    hard = np.random.default_rng(SETS.index(name)).random(images)
    own = np.random.default_rng([SETS.index(name), seed, len(method)]).normal(0, 0.03, images)
    return (hard + (own if method != "zeroshot" else 0) < SHARES[method]).tolist()


def score(right: list[bool], size: int = 1, metric: str = "top1") -> Score:
    groups = [str(at // size) for at in range(len(right))]
    count, total = sum(right), len(right)
    per_image = PerImage.of(right, groups, "drawing")
    return Score(metric, 100 * count / total, count, total, per_image)


def measured(size: int = 1, seeds: tuple[int, ...] = (1, 2, 3)) -> list[Record]:
    """Four methods on four sets; `size` images are a group."""
    return [
        record(
            method,
            name,
            seed,
            trained=method != "zeroshot",
            scores=(score(outcomes(method, name, seed), size),),
        )
        for method in SHARES
        for name in SETS
        for seed in (seeds[:1] if method == "zeroshot" else seeds)
    ]


def only(records: list[Record], **options: Kept) -> Table:
    (table,) = build(records, **options)
    return table


def of(table: Table, label: str) -> Row:
    return next(row for row in table.rows if row.label == label)


def test_a_row_has_the_interval_of_seeds_and_images_and_a_fixed_one_that_of_images() -> None:
    table = only(measured())
    for label, method, seeds in (("CoOp", "coop", (1, 2, 3)), ("CLIP", "zeroshot", (1,))):
        right = np.array([outcomes(method, "birds", seed) for seed in seeds], np.int8)
        entry = of(table, label).entries[0]
        assert entry.spread is not None
        expected = 100 * estimate([Part(right, None, (0.0, 1.0))]).half_width()
        assert entry.spread.half_width == pytest.approx(expected, rel=1e-8)
        assert entry.spread.over == (*(["seed"] if len(seeds) > 1 else []), "image")
    assert "over seeds and test images (of numbers of one seed, over test images alone)" in (
        markdown.page([table])
    )


def test_images_of_a_group_are_not_independent_and_the_page_names_the_unit() -> None:
    single, grouped = only(measured()), only(measured(size=8))
    # Neighbours are not alike here, so groups change little but the page says what they are.
    assert grouped.units == ("drawing",)
    page = markdown.page([grouped])
    assert "over seeds and test drawings" in page
    assert "Images that share a drawing do not count as independent." in page
    assert of(grouped, "CoOp").average != of(single, "CoOp").average


def test_rows_are_separated_by_their_paired_differences_after_correction() -> None:
    table = only(measured())
    assert table.ranking is not None
    assert (table.ranking.pairs, table.ranking.tested) == (6, 6)
    groups = {row.label: set(row.rank.groups) for row in table.rows if row.rank}
    assert groups["CoOp"] & groups["RPP-SAPL"]  # 0.3 points apart
    assert not groups["CoOp"] & groups["POMP"]  # 10 points apart
    assert not groups["CLIP"] & groups["CoOp"]
    assert f"{table.ranking.separated} of 6 pairs are separated" in markdown.page([table])


def test_each_row_is_compared_with_the_one_that_learns_nothing() -> None:
    table = only(measured())
    assert table.reference == "CLIP"
    pomp, test = of(table, "POMP"), of(table, "POMP").against
    assert of(table, "CLIP").against is None
    assert test is not None
    parts = [
        Part(np.array([outcomes("pomp", name, s) for s in (1, 2, 3)], np.int8) - fixed)
        for name in SETS
        for fixed in [np.array(outcomes("zeroshot", name, 1), np.int8)]
    ]
    expected = difference(parts)
    assert test.mean == pytest.approx(expected.mean, rel=1e-8)
    assert test.half_width == pytest.approx((expected.high - expected.low) / 2, rel=1e-8)
    assert test.p == pytest.approx(expected.p, rel=1e-8)
    assert pomp.average is not None
    raw = sorted(row.against.p for row in table.rows if row.against)
    assert min(r.against.corrected for r in table.rows if r.against) == pytest.approx(3 * raw[0])
    assert "Against CLIP: difference of the average, paired by image and seed" in (
        markdown.page([table])
    )


def test_a_seed_counts_once_where_one_training_serves_all_sets_and_on_each_set_otherwise() -> None:
    """Also where each set's training continues one that they share, and for other programs'."""
    shared = measured()
    own = [from_own_set(one) for one in shared]
    continued = [from_own_set(one, one.cell.training) for one in shared]
    imported = [
        replace(one, cell=replace(from_own_set(one).cell, inputs=(("imported", "predictions"),)))
        for one in shared
    ]
    changes = [
        np.array([outcomes("pomp", name, s) for s in (1, 2, 3)], np.int8)
        - np.array(outcomes("zeroshot", name, 1), np.int8)
        for name in SETS
    ]
    together = difference([Part(values) for values in changes])
    apart = difference(
        [Part(values, trained_on=frozenset({str(at)})) for at, values in enumerate(changes)]
    )
    assert together.p != apart.p
    for records, expected in (
        (shared, together),
        (own, apart),
        (continued, together),
        (imported, together),
    ):
        test = of(only(records), "POMP").against
        assert test is not None
        assert test.p == pytest.approx(expected.p, rel=1e-8)
        (comparison,), _ = compare(records, "zeroshot", "pomp", "cross-dataset", None)
        assert comparison.overall is not None
        assert comparison.overall.difference.p == pytest.approx(expected.p, rel=1e-8)


def from_own_set(record: Record, start: Training | None = None) -> Record:
    """The record with a training on the set that it scores."""
    cell = record.cell
    if cell.training is None:
        return record
    training = replace(cell.training, source=cell.dataset, start=start)
    return replace(record, cell=replace(cell, training=training))


def test_sets_that_show_the_same_groups_are_one_sample_of_them() -> None:
    """Such as the same drawings in several styles, with outcomes that agree here."""

    def made(space: str) -> Table:
        records = []
        for name in SETS:
            right = outcomes("coop", "birds", 1, 200)
            groups = [str(at // 2) for at in range(200)]
            one = Score(
                "top1",
                100 * sum(right) / 200,
                sum(right),
                200,
                PerImage.of(right, groups, "drawing", space),
            )
            records.append(record("coop", name, 1, scores=(one,)))
        return only(records)

    apart, together = made("").rows[0], made("drawings").rows[0]
    assert apart.entries[0].spread == together.entries[0].spread
    assert apart.average is not None
    assert together.average is not None
    assert together.average.spread is not None
    assert apart.average.spread is not None
    of_one = together.entries[0].spread
    assert of_one is not None
    assert together.average.spread.half_width == pytest.approx(of_one.half_width, rel=1e-6)
    assert apart.average.spread.half_width == pytest.approx(of_one.half_width / 2, rel=0.02)


def test_one_pair_of_rows_has_one_p_value_in_the_table_and_in_compare() -> None:
    """McNemar's, where one set of independent images was scored under one seed."""
    gained, lost = [True] * 50 + [False] * 350, [False] * 50 + [True] * 32 + [False] * 318
    records = [
        record(method, "birds", 1, trained=method != "zeroshot", scores=(score(right),))
        for method, right in (("zeroshot", lost), ("coop", gained))
    ]
    test = of(only(records), "CoOp").against
    assert test is not None
    assert test.p == pytest.approx(mcnemar(50, 32))


@pytest.mark.parametrize("right", [(0, 40), (40, 0), (0, 0)])
def test_a_half_in_which_nothing_is_right_counts_as_zero(right: tuple[int, int]) -> None:
    halves = [[at < count for at in range(100)] for count in right]
    base, new = (
        score(half, metric=name) for half, name in zip(halves, ("base", "new"), strict=True)
    )
    some = [at < 30 for at in range(100)]
    others = [score(some, metric=name) for name in ("base", "new")]
    good = (Score("harmonic_mean", 30.0), *others)
    failed = (Score("harmonic_mean", 0.0), base, new)
    records = [
        replace(
            record(method, "birds", 1, trained=method == "rpp", scores=scores, task="base-to-new"),
            metric="harmonic_mean",
        )
        for method, scores in (("zeroshot", good), ("rpp", failed))
    ]
    row = of(only(records), "RPP-SAPL")
    assert row.entries[0].spread is not None
    assert row.against is not None
    assert row.against.mean == pytest.approx(-30.0)
    assert row.against.p < 0.001


def test_the_harmonic_mean_has_an_interval_from_the_outcomes_of_both_halves() -> None:
    """Held against a bootstrap of the images of both halves."""
    random = np.random.default_rng(5)
    halves = [random.random(300) < 0.7, random.random(200) < 0.4]
    base, new = (
        score(half.tolist(), metric=name)
        for half, name in zip(halves, ("base", "new"), strict=True)
    )
    combined = Score("harmonic_mean", harmonic_mean(base.value, new.value))
    made = record("coop", scores=(combined, base, new), task="base-to-new")
    entry = only([replace(made, metric="harmonic_mean")]).rows[0].entries[0]
    random = np.random.default_rng(0)
    draws = [
        harmonic_mean(*(100 * random.choice(half, len(half)).mean() for half in halves))
        for _ in range(4000)
    ]
    assert entry.spread is not None
    assert entry.spread.half_width == pytest.approx(1.96 * float(np.std(draws)), rel=0.05)


def test_an_average_is_shown_without_the_set_that_carries_it() -> None:
    values = {"coop": (50, 50, 50, 50), "rpp": (51, 51, 51, 90), "pomp": (51, 50, 51, 70)}
    records = [
        record(method, name, value=float(value))
        for method, of_sets in values.items()
        for name, value in zip(SETS, of_sets, strict=True)
    ]
    table = only(records)
    assert table.dominating == "Pets"
    assert [row.without for row in table.rows] == pytest.approx([51.0, 152 / 3, 50.0])
    # The shares of all sets add up to 1: cov(set, average) / (4 var(average)).
    grid = np.array([values[m] for m in ("coop", "rpp", "pomp")], float)
    average = grid.mean(axis=1)
    shares = np.cov(grid.T, average, ddof=0)[:-1, -1] / (4 * average.var())
    assert table.dominance == pytest.approx(shares[3])
    assert shares.sum() == pytest.approx(1.0)
    assert "| Average of 4 | Without Pets |" in markdown.page([table])
    even = [record(m, name, value=v) for m, v in (("coop", 50.0), ("rpp", 60.0)) for name in SETS]
    assert only(even).dominating == ""


def test_parameters_that_differ_by_data_set_are_explained() -> None:
    records = [record("coop", name) for name in SETS]
    records[0] = replace(records[0], cost=replace(records[0].cost, parameters=512))
    page = markdown.page(build(records))
    assert "Parameters are those on the data set that has the most: CoOp from 512." in page


# --- kept statistics ----------------------------------------------------------------------------


def refuse_to_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(statistics, "statistics", fail)


def test_kept_statistics_are_used_under_the_digest_of_the_same_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path)
    first = build(measured(), kept=kept)
    kept.write()
    refuse_to_compute(monkeypatch)
    assert build(measured(), kept=Kept(tmp_path)) == first
    changed = measured()
    right = outcomes("rpp", "birds", 1)
    right[0] = not right[0]
    changed[-1] = replace(changed[-1], scores=(score(right),))
    with pytest.raises(AssertionError, match="computed again"):
        build(changed, kept=Kept(tmp_path))


def test_a_table_that_is_printed_by_name_takes_the_statistics_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in measured(seeds=(1,)):
        Store(tmp_path).write(one)
    words = ["leaderboard", "--output", str(tmp_path)]
    assert main(words) == 0
    page = capsys.readouterr().out
    refuse_to_compute(monkeypatch)
    assert main([*words, "cross-dataset"]) == 0
    assert capsys.readouterr().out == page


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99, "tables": {}}', "[[" * 9999])
def test_a_damaged_file_of_statistics_is_computed_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    kept = Kept(tmp_path)
    table = only(measured(seeds=(1,)), kept=kept)
    assert table == only(measured(seeds=(1,)))
    kept.write()
    assert json.loads((tmp_path / FILE).read_text())["tables"]


def test_statistics_of_records_that_are_gone_are_dropped(tmp_path: Path) -> None:
    for records in (measured(), measured(seeds=(1,))):
        kept = Kept(tmp_path)
        build(records, kept=kept)
        kept.write()
    assert len(json.loads((tmp_path / FILE).read_text())["tables"]) == 1
