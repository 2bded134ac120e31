"""Leaderboard tables built from records, and the pages and files written from them."""

import csv
import io
import json
from dataclasses import replace

import pytest
from support.records import record

from rppbench.errors import UsageError
from rppbench.leaderboard.build import build
from rppbench.leaderboard.number_format import duration_text
from rppbench.records.record import Failure, Score
from rppbench.reporting import csv_json, markdown
from rppbench.reporting.leaderboard_files import write_leaderboards
from rppbench.stats.intervals import harmonic_mean


def cells(page: str) -> list[list[str]]:
    """Heads and rows of the tables of a Markdown page."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    return [rows[0], *rows[2:]]


def only(records):
    """The only table of these records."""
    (table,) = build(records)
    return table


def test_rows_are_methods_and_columns_data_sets_with_means_intervals_and_averages():
    records = [
        record(method, dataset, seed, value)
        for method, dataset, values in (
            ("coop", "flowers", (60.0, 62.0, 64.0)),
            ("coop", "pets", (40.0, 41.0, 45.0)),
            ("rpp", "flowers", (70.0, 70.0, 70.0)),
            ("rpp", "pets", (30.0, 31.0, 32.0)),
        )
        for seed, value in enumerate(values, 1)
    ]
    page = markdown.page(build(records))
    # t(2 degrees of freedom, 95 %) = 4.3027; half width = 4.3027 * s / sqrt(3).
    # coop's averages by seed are 50, 51.5, 54.5 (s = 2.2913); rpp's 50, 50.5, 51 (s = 0.5).
    assert cells(page) == [
        ["Method", "Flowers", "Pets", "Average of 2", "Seeds", "Parameters", "Train time"],
        ["CoOp", "62.0 ± 5.0", "**42.0** ± 6.6", "**52.0** ± 5.7", "3", "2,048", "10.0 s"],
        ["RPP-SAPL", "**70.0** ± 0.0", "31.0 ± 2.5", "50.5 ± 1.2", "3", "2,048", "10.0 s"],
    ]
    assert page.startswith("# Cross-dataset transfer\n")
    assert "backbone demo in fp32" in page
    assert "trained on World, 16 shots per class" in page
    assert "seeds 1, 2, 3" in page
    assert "incomplete" not in page


def test_numbers_that_print_alike_are_equally_best():
    values = {"coop": 50.04, "rpp": 49.96, "pomp": 49.94}
    table = only([record(method, value=value) for method, value in values.items()])
    assert [(row.method, row.entries[0].best) for row in table.rows] == [
        ("coop", True),
        ("rpp", True),
        ("pomp", False),
    ]


def test_a_single_row_is_not_marked_as_best():
    assert "**" not in markdown.page(build([record(backbone="ViT-B-16/openai")]))


def test_an_incomplete_average_is_marked_explained_last_and_never_bold():
    records = [
        record("coop", "flowers", value=10.0),
        record("coop", "pets", value=20.0),
        record("rpp", "flowers", value=90.0),
        record("pomp", "flowers", value=80.0),
        record("pomp", "pets", failure=Failure("oom", "out of | memory")),
    ]
    page = markdown.page(build(records))
    header, *rows = cells(page)
    average = header.index("Average of 2")
    assert [(row[0], row[average]) for row in rows] == [
        ("CoOp", "**15.0**"),
        ("POMP", "– (1/2)"),
        ("RPP-SAPL", "– (1/2)"),
    ]
    assert rows[1][2] == "oom"
    assert rows[2][2] == "–"
    assert "POMP is incomplete: Pets (seed 1: oom: out of \\| memory)." in page
    assert "RPP-SAPL is incomplete: Pets (0 of 1 seeds were run)." in page


def test_a_column_says_on_which_validation_images_values_were_chosen():
    def of(method, *labels):
        return [
            replace(one, labels={**one.labels, **({"validation": label} if label else {})})
            for name, label in zip(("birds", "cars"), labels, strict=True)
            for one in [record(method, name)]
        ]

    table = only([*of("coop", "none", "none"), *of("rpp", "few-shot", "none"), *of("pomp", "", "")])
    header, *rows = cells(markdown.page([table]))
    assert header[:3] == ["Method", "Validation", "Birds"]
    assert {row[0]: row[1] for row in rows[:3]} == {
        "CoOp": "none",
        "RPP-SAPL": "few-shot, none",
        "POMP": "–",
    }
    lines = csv.DictReader(io.StringIO(csv_json.csv([table])))
    assert {line["row"]: line["validation"] for line in lines}["RPP-SAPL"] == "few-shot, none"
    content = json.loads(csv_json.json([table]))["tables"][0]["rows"]
    assert [row.get("validation") for row in content] == ["none", None, "few-shot, none"]
    plain = only([*of("coop", "none", "none"), *of("pomp", "", "")])
    assert "Validation" not in cells(markdown.page([plain]))[0], "nothing was chosen"
    assert "validation" not in csv_json.csv([plain])


def test_averages_over_the_same_part_of_the_sets_are_comparable_and_marked():
    oom = Failure("oom", "out of memory")
    records = [record(method, "flowers", value=10.0) for method in ("coop", "rpp")]
    records += [record(method, "pets", failure=oom) for method in ("coop", "rpp")]
    assert [row[3] for row in cells(markdown.page(build(records)))[1:]] == ["10.0 (1/2)"] * 2


def test_averages_over_ten_and_eleven_sets_never_share_a_column():
    ten = [f"set-{number}" for number in range(10)]

    def of(method, sets, suite="coop", value=50.0):
        scores = (Score("top1", value), Score("base", value + 1))
        return [record(method, name, value=value, scores=scores, suite=suite) for name in sets]

    eleven = [*ten, "imagenet"]
    small, large = build([*of("coop", ten, "ten"), *of("rpp", eleven, "eleven")])
    assert {len(small.datasets), len(large.datasets)} == {10, 11}
    heads = [cells(markdown.page([table]))[0] for table in (small, large)]
    assert {head for of_table in heads for head in of_table if "Average" in head} == {
        "Average of 10",
        "Average of 11",
    }

    table = only([*of("coop", ten, value=80.0), *of("rpp", eleven), *of("pomp", eleven[1:])])
    header, *rows = cells(markdown.page([table]))
    average = header.index("Average of 11")
    assert [(row[0], row[average]) for row in rows[:3]] == [
        ("RPP-SAPL", "**50.0**"),
        ("CoOp", "– (10/11)"),
        ("POMP", "– (10/11)"),
    ]
    others = {row.label: dict(row.others)["base"].printed for row in table.rows}
    assert others == {"RPP-SAPL": "51.0", "CoOp": None, "POMP": None}
    (mixed,) = build([*of("coop", ten, "ten"), *of("rpp", eleven, "eleven")], allow_mixed=True)
    assert [row.average.printed for row in mixed.rows] == ["50.0", None]
    none = only([*of("coop", ten), *of("pomp", eleven[1:])])
    assert [row.average.printed for row in none.rows] == [None, None], "neither is over all 11"


def test_gaps_with_the_same_reason_share_a_footnote():
    records = [record("coop", name) for name in ("birds", "cars", "flowers")]
    page = markdown.page(build([*records, record("rpp", "birds")]))
    assert "RPP-SAPL is incomplete: Cars, Flowers (0 of 1 seeds were run)." in page


def test_a_row_with_missing_seeds_is_marked_and_never_best():
    records = [
        *(record("coop", seed=seed, value=50.0 + seed) for seed in (1, 2, 3)),
        *(record("rpp", seed=seed, value=90.0) for seed in (1, 2)),
        record("rpp", seed=3, failure=Failure("nan", "step 4")),
    ]
    _, coop, rpp = cells(markdown.page(build(records)))
    assert coop[1].startswith("**52.0**")
    assert rpp[1] == "90.0 ± 0.0 (2/3)"


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("missing-data", "no data"), ("oom", "oom"), ("nan", "nan"), ("KeyError", "failed")],
)
def test_a_failed_cell_shows_its_kind(kind, shown):
    records = [record("coop"), record("rpp", failure=Failure(kind, "why"))]
    rows = cells(markdown.page(build(records)))
    assert rows[-1][:2] == ["RPP-SAPL", shown]


def test_a_cell_that_failed_before_it_had_labels_is_in_the_table():
    unlabelled = replace(record("rpp", failure=Failure("KeyError", "x")), labels={}, metric="")
    table = only([record("coop"), unlabelled])
    assert [row.label for row in table.rows] == ["CoOp", "rpp"]
    assert [column.dataset_title for column in table.columns] == ["Flowers"]


def test_other_conditions_give_other_tables_with_a_warning():
    records = [
        record("coop"),
        record("rpp", backbone="ViT-B-16/openai", value=99.0),
        record("rpp", precision="bf16"),
        record("rpp", limit=100),
    ]
    page = markdown.page(build(records))
    assert len(build(records)) == 4
    assert "**Warning:** the 4 tables" in page
    assert "backbone: ViT-B-16/openai" in page
    assert "precision: bf16" in page
    assert "test images: at most 100" in page
    assert "99.0" in page
    assert "**99.0**" not in page


def test_two_versions_of_a_data_set_never_share_a_column():
    newer = {"data": "d2", "value": 80.0}
    records = [
        record("coop", "flowers", value=50.0),
        record("coop", "pets", value=50.0),
        replace(record("rpp", "flowers", **newer), finished="2026-02-01T00:00:00+00:00"),
        record("rpp", "pets", value=60.0),
    ]
    new, old = build(records)
    assert [c.dataset for c in new.columns] == ["flowers", "pets"]
    assert [c.dataset for c in old.columns] == ["flowers"]
    assert [row.label for row in old.rows] == ["CoOp"]
    assert ("data of Flowers", "d2") in new.differences
    assert ("data of Flowers", "d1") in old.differences
    assert all("Pets" not in name for name, _ in (*new.differences, *old.differences))
    means = [(entry.mean, t) for t in (new, old) for row in t.rows for entry in row.entries]
    assert sum(mean is not None for mean, _ in means) == len(records)


def test_data_that_was_missing_at_first_does_not_split_the_table():
    gone = Failure("missing-data", "no files")
    records = [
        record("coop", data="missing", failure=gone),
        record("coop", value=55.0),
        record("rpp", data="missing", learned_from="missing", failure=gone),
    ]
    table = only(records)
    assert [(row.label, row.entries[0].mean) for row in table.rows] == [
        ("CoOp", 55.0),
        ("RPP-SAPL", None),
    ]
    assert only([*records, record("rpp", value=60.0)]).rows[0].entries[0].mean == 60.0


def test_each_option_recipe_source_and_training_input_has_its_own_row():
    records = [
        record("rpp", options=(("kd", True),)),
        record("rpp", options=(("kd", False),)),
        record("coop", recipe="coop-1"),
        record("coop", recipe="coop-2"),
        record("pomp", source="large"),
        record("pomp", learned_from="s1"),
        record("pomp", learned_from="s2"),
    ]
    table = only(records)
    labels = [row.label for row in table.rows]
    assert sorted(labels) == [
        "CoOp · recipe coop-1",
        "CoOp · recipe coop-2",
        "POMP · trained on Large",
        "POMP · trained on World · dataset:world s1",
        "POMP · trained on World · dataset:world s2",
        "RPP-SAPL",
        "RPP-SAPL (kd=off)",
    ]
    assert "Trained on" in cells(markdown.page([table]))[0]


def test_a_method_trained_on_each_data_set_itself_is_one_row():
    records = [
        record(method, name, seed, 50.0, source=name, data=f"{name}-1", learned_from=f"{name}-1")
        for method in ("coop", "rpp")
        for name in ("flowers", "pets")
        for seed in (1, 2)
    ]
    untrained = [
        record("zeroshot", name, trained=False, data=f"{name}-1") for name in ("flowers", "pets")
    ]
    table = only([*records, *untrained])
    assert [row.label for row in table.rows] == ["CLIP", "CoOp", "RPP-SAPL"]
    assert all(row.average is not None and row.average.is_complete for row in table.rows)
    assert [row.learned_on for row in table.rows][1:] == ["each set itself, 16 shots"] * 2
    page = markdown.page([table])
    assert "incomplete" not in page
    assert "trained on each set itself, 16 shots per class" in page


def test_the_data_set_that_was_trained_on_stays_in_the_row_of_its_source():
    """One source for all sets, and one of them is the source itself."""
    records = [record("coop", name, source="flowers") for name in ("flowers", "pets")]
    (row,) = only(records).rows
    assert row.learned_on == "Flowers, 16 shots"
    recipes = [
        record("coop", name, source=name, recipe=recipe)
        for name in ("flowers", "pets")
        for recipe in ("coop-1", "coop-2")
    ]
    labels = [row.label for row in only(recipes).rows]
    assert labels == ["CoOp · recipe coop-1", "CoOp · recipe coop-2"]


def test_columns_have_the_order_of_the_suite_then_of_titles():
    order = {"pets": "10", "flowers": "9", "cars": "", "birds": ""}
    table = only([record(dataset=name, order=rank) for name, rank in order.items()])
    assert [column.dataset for column in table.columns] == ["flowers", "pets", "birds", "cars"]


def test_a_task_with_one_data_set_has_a_column_for_each_metric():
    scores = (Score("top1", 50.0), Score("base", 60.0), Score("held_out", 40.0))
    header, row = cells(markdown.page(build([record(scores=scores)])))
    assert header == ["Method", "top1", "base", "held_out", "Seeds", "Parameters", "Train time"]
    assert row[1:4] == ["50.0", "60.0", "40.0"]


def test_another_metric_can_be_requested_and_an_unknown_one_is_an_error():
    both = (Score("top1", 50.0), Score("per_class", 44.0))
    records = [record(dataset=name, scores=both) for name in ("flowers", "pets")]
    (table,) = build(records, metric="per_class")
    assert [entry.mean for entry in table.rows[0].entries] == [44.0, 44.0]
    with pytest.raises(UsageError, match="did you mean 'per_class'"):
        build(records, metric="perclass")
    with pytest.raises(UsageError, match="did you mean 'cross-dataset'"):
        build(records, task="cross-datasets")


def test_a_deterministic_method_has_one_number_for_any_number_of_seeds():
    records = [record("zeroshot", seed=seed, trained=False) for seed in (1, 2)]
    page = markdown.page(build(records))
    assert cells(page)[1] == ["CLIP", "50.0", "1", "0", "–"]
    assert "Deterministic, so n = 1 and no interval: CLIP." in page


def test_a_training_that_many_cells_share_is_timed_once():
    records = [
        *(record(dataset=name, seed=1, seconds=10.0) for name in ("a", "b", "c")),
        record(dataset="a", seed=2, seconds=30.0),
    ]
    assert only(records).rows[0].train_seconds == 20.0


def test_the_order_of_the_records_changes_nothing():
    records = [
        record(method, dataset, seed, value=40.0 + seed, backbone=backbone)
        for method in ("rpp", "coop")
        for dataset in ("pets", "flowers")
        for seed in (2, 1)
        for backbone in ("demo", "other")
    ]
    assert build(records) == build(records[::-1])


def test_no_records_give_no_tables():
    assert build([]) == []


def test_files_hold_every_number_with_all_digits(tmp_path):
    third = 100 / 3
    records = [
        record("coop", "flowers", value=third),
        record("coop", "pets", failure=Failure("oom", "full")),
        record("coop", task="pretraining", scores=(Score("top1", third),)),
    ]
    names = sorted(path.name for path in write_leaderboards(build(records), tmp_path))
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        f"{task}.{ending}"
        for task in ("cross-dataset", "pretraining")
        for ending in ("csv", "json", "md", "tex")
    ]
    lines = list(csv.DictReader(io.StringIO((tmp_path / "cross-dataset.csv").read_text())))
    assert [(line["dataset"], line["mean"], line["failures"]) for line in lines] == [
        ("flowers", str(third), ""),
        ("pets", "", "seed 1: oom"),
    ]
    (table,) = json.loads((tmp_path / "cross-dataset.json").read_text())["tables"]
    entry = table["rows"][0]["entries"][0]
    assert (entry["mean"], entry["half_width"], entry["values"]) == (third, None, [[1, third]])
    average = table["rows"][0]["average"]
    assert (average["mean"], average["complete"], average["expected"]) == (third, 1, 2)


SETS = ("birds", "cars", "flowers", "pets", "ships")
SPREAD = {"coop": (0, 2, 2, 2, 2), "rpp": (9, 9, 9, 9, 9), "pomp": (1, 1, 1, 1, 1)}


def ranked(sets=SETS, spread=SPREAD):
    return [
        record(method, dataset, value=50.0 + value)
        for method, values in spread.items()
        for dataset, value in zip(sets, values, strict=False)
    ]


def test_complete_rows_have_mean_ranks():
    page = markdown.page(build([*ranked(), record("zeroshot", "cars", value=99.0, trained=False)]))
    header, *rows = cells(page)
    rank = header.index("Rank")
    assert [(row[0], row[rank]) for row in rows] == [
        ("RPP-SAPL", "1.0 a"),
        ("CoOp", "2.2 a"),
        ("POMP", "2.8 a"),
        ("CLIP", "–"),
    ]
    # One seed without outcomes of images: nothing says how certain a difference is.
    assert "0 of 3 pairs are separated; 3 could not be tested." in page
    (line, *_) = csv.DictReader(io.StringIO(csv_json.csv(build(ranked()))))
    assert (line["row"], line["rank"], line["rank_groups"]) == ("RPP-SAPL", "1.0", "a")
    (table,) = json.loads(csv_json.json(build(ranked())))["tables"]
    assert table["ranking"]["datasets"] == 5
    assert table["rows"][1]["rank"] == {"mean": 2.2, "groups": "a"}


def test_ranks_follow_exact_numbers_not_printed_ones():
    spread = {"coop": (0.01,) * 5, "rpp": (0.02,) * 5, "pomp": (0.0,) * 5}
    page = markdown.page(build(ranked(spread=spread)))
    header, *rows = cells(page)
    assert [row[header.index("Rank")] for row in rows] == ["1.0 a", "2.0 a", "3.0 a"]


def test_equal_counts_are_a_tie_however_they_are_spread_over_seeds():
    counts = {"coop": (161, 163), "rpp": (162, 162), "pomp": (160, 163)}
    records = [
        record(method, name, seed, 100 * count / 524)
        for method, of_seeds in counts.items()
        for name in SETS
        for seed, count in enumerate(of_seeds, 1)
    ]
    header, *rows = cells(markdown.page(build(records)))
    assert sorted(row[header.index("Rank")] for row in rows) == ["1.5 a", "1.5 a", "3.0 a"]


def test_fewer_data_sets_or_complete_rows_have_no_ranks():
    two = {name: SPREAD[name] for name in ("coop", "rpp")}
    for records in (ranked(SETS[:2]), ranked(spread=two)):
        assert "Rank" not in markdown.page(build(records))


def test_names_cannot_break_the_markdown():
    odd = record()
    odd = replace(odd, labels={**odd.labels, "method": "a|b\n<script>*x*"})
    page = markdown.page(build([odd]))
    assert cells(page)[1][0] == "a\\|b &lt;script>\\*x\\*"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (59.96, "1 min 00 s"), (185.2, "3 min 05 s"), (3599.6, "1 h 00 min")],
)
def test_durations_are_printed_in_suitable_units(seconds, text):
    assert duration_text(seconds) == text


def test_no_tables_give_empty_json_and_csv():
    assert json.loads(csv_json.json([])) == {"tables": []}
    assert csv_json.csv([]).startswith("task,table,")


def test_a_lower_calibration_error_is_better():
    def with_error(method, ece):
        return [
            record(method, name, scores=(Score("top1", 50.0), Score("ece", ece)))
            for name in ("flowers", "cars")
        ]

    records = [*with_error("coop", 9.0), *with_error("rpp", 4.0)]
    (table,) = build(records, metric="ece")
    assert [row.method for row in table.rows] == ["rpp", "coop"]
    assert [entry.best for row in table.rows for entry in row.entries] == [True, True, False, False]
    assert [row.average.best for row in table.rows] == [True, False]
    (table,) = build([r for r in records if r.cell.dataset == "cars"])
    best = {row.method: [entry.best for entry in row.entries] for row in table.rows}
    assert best == {"rpp": [True, True], "coop": [True, False]}


def test_averages_of_other_metrics_include_the_harmonic_mean_of_the_averages():
    def with_halves(name, base, new, gap):
        both = Score("harmonic_mean", harmonic_mean(base, new))
        parts = (Score("base", base), Score("new", new), Score("base_top5", 99.0))
        scores = (both, *parts, Score("loss_gap", gap))
        return replace(record("rpp", name, scores=scores), metric="harmonic_mean")

    (table,) = build(
        [with_halves("flowers", 90.0, 30.0, 0.123), with_halves("cars", 50.0, 70.0, 0.125)]
    )
    (row,) = table.rows
    means = {name: average.mean for name, average in row.others}
    assert set(means) == {"base", "new", "loss_gap", "harmonic mean of the averages"}
    assert (means["base"], means["new"]) == (70.0, 50.0)
    assert means["harmonic mean of the averages"] == pytest.approx(58.333, abs=1e-3)
    assert row.average.mean == pytest.approx((45.0 + 58.333) / 2, abs=1e-3)  # never the larger
    text = markdown.page([table])
    assert "| Method | base | new | loss_gap | harmonic mean of the averages |" in text
    assert "| 70.0 | 50.0 | 0.124 | 58.3 |" in text


def test_a_metric_that_a_method_does_not_have_is_not_a_gap():
    known = record("rpp", "cars", scores=(Score("top1", 50.0), Score("loss_gap", 0.5)))
    other = record("rpp", "flowers", scores=(Score("top1", 50.0), Score("loss_gap", 0.5)))
    without = [record("coop", name, scores=(Score("top1", 40.0),)) for name in ("cars", "flowers")]
    text = markdown.page(build([known, other, *without]))
    assert "| CoOp | – |" in text.split("On average over the data sets")[1]
    alone = markdown.page(build([known, without[0]]))
    assert "incomplete" not in alone
    assert "| CoOp | 40.0 | – |" in alone
