"""Published numbers beside measured ones, and mixed tables of what cannot be compared."""

from __future__ import annotations

from csv import DictReader
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from support.records import record

from rppbench.cli import main
from rppbench.leaderboard.build import build
from rppbench.records.record import Record, Score
from rppbench.records.store import Store
from rppbench.reporting import csv_json, latex, markdown

B16 = "ViT-B-16/openai"
TEN = {  # CoOp's row of the table for transfer
    "caltech101": 93.70,
    "oxford_pets": 89.14,
    "stanford_cars": 64.51,
    "oxford_flowers": 68.71,
    "food101": 85.30,
    "fgvc_aircraft": 18.47,
    "sun397": 64.15,
    "dtd": 41.92,
    "eurosat": 46.39,
    "ucf101": 66.55,
}


def coop(dataset: str, seed: int, value: float, **more: object) -> Record:
    """A record of CoOp under the conditions of the published table; `more` overrides them."""
    conditions = {"recipe": "coop-transfer-1", "source": "imagenet", "backbone": B16, **more}
    return record("coop", dataset, seed, value, **conditions)


def lines(page: str) -> list[list[str]]:
    """Rows of the Markdown table of published numbers."""
    if "**Against published numbers**" not in page:
        return []
    rows = page.split("**Against published numbers**")[1].splitlines()
    return [row.strip("| ").split(" | ") for row in rows if row.startswith("|")][2:]


def test_a_published_number_has_the_measured_one_the_difference_and_a_verdict() -> None:
    runs = [coop("caltech101", seed, 93.0 + seed / 2) for seed in (1, 2, 3)]  # mean 94.0, ± 1.2
    runs += [coop("dtd", seed, 40.0) for seed in (1, 2, 3)]
    source = (
        "the method's own paper, not read, table for transfer not known, read in Table 2 of "
        "RMAdapter (arXiv:2512.06811), which quotes it"
    )
    metric_and_source = ["top1", "its authors", source]
    assert lines(markdown.page(build(runs))) == [
        ["CoOp", "Caltech101", *metric_and_source, "94.0 ± 1.2", "93.70", "+0.3", "yes"],
        ["CoOp", "Dtd", *metric_and_source, "40.0 ± 0.0", "41.92", "-1.9", "**no**"],
    ]


def test_one_seed_has_no_interval_and_missing_seeds_are_marked() -> None:
    (row,) = lines(markdown.page(build([coop("dtd", 1, 42.92)])))
    assert row[-4:] == ["42.9", "41.92", "+1.0", "–"]
    runs = [coop("dtd", 1, 42.0), coop("dtd", 2, 43.0), coop("caltech101", 3, 90.0)]
    rows = {row[1]: row for row in lines(markdown.page(build(runs)))}
    assert rows["Dtd"][5].endswith("(2/3)")


def test_an_average_is_compared_only_if_all_its_data_sets_were_measured() -> None:
    runs = [coop(name, seed, value + 1) for name, value in TEN.items() for seed in (1, 2)]
    rows = lines(markdown.page(build(runs)))
    assert len(rows) == 11
    (average,) = (row for row in rows if row[1] == "Average of 10")
    assert average[-4:] == ["64.9 ± 0.0", "63.88", "+1.0", "**no**"]
    without = [run for run in runs if run.cell.dataset != "dtd"]
    assert not [row for row in lines(markdown.page(build(without))) if "Average" in row[1]]


OTHER_CONDITIONS = {
    "backbone": {"backbone": "ViT-B-32/openai"},
    "recipe": {"recipe": "coop-200-1"},
    "changed recipe": {"recipe": "coop-transfer-1+lr=0.1"},
    "source": {"source": "imagenet21k"},
    "task": {"task": "few-shot"},
    "number of test images": {"limit": 100},
    "option": {"options": (("kd", False),)},
    "embedded world": {"backbone": "demo"},
}


@pytest.mark.parametrize("condition", OTHER_CONDITIONS)
def test_another_setting_is_not_compared(condition: str) -> None:
    run = coop("dtd", 1, 42.0, **OTHER_CONDITIONS[condition])
    assert lines(markdown.page(build([run]))) == []


def test_other_shots_are_not_compared() -> None:
    run = coop("dtd", 1, 42.0)
    assert run.cell.training is not None
    fewer = replace(run, cell=replace(run.cell, training=replace(run.cell.training, shots=4)))
    assert lines(markdown.page(build([fewer]))) == []


def test_originals_and_re_implementations_are_separate_rows() -> None:
    """CoOp, base to new: the authors' means and KgCoOp's re-run, and the harmonic mean of means."""
    sets = [*TEN, "imagenet"]
    runs = [
        record(
            "coop",
            name,
            1,
            task="base-to-new",
            recipe="coop-base-to-new-1",
            source=name,
            backbone=B16,
            scores=(Score("top1", 70.0), Score("base", 80.0), Score("new", 60.0)),
        )
        for name in sets
    ]
    rows = [row for row in lines(markdown.page(build(runs))) if row[1] == "Average of 11"]
    measured = {(row[2], row[3], row[6]): row[5] for row in rows}
    authors, others = "its authors", "others (re-implemented)"
    assert measured == {
        ("base", authors, "82.69"): "80.0",
        ("new", authors, "63.22"): "60.0",
        ("base", others, "82.63"): "80.0",
        ("new", others, "67.99"): "60.0",
        ("harmonic mean of the averages", others, "74.60"): "68.6",
    }


def test_zero_shot_is_compared_only_with_the_same_template() -> None:
    def run(template: str) -> Record:
        options = (("template", template),)
        one = record("zeroshot", "dtd", trained=False, backbone=B16, options=options, value=44.0)
        changed = "" if template == "dataset" else f"template={template}"
        return replace(one, labels={**one.labels, "method_options": changed})

    assert lines(markdown.page(build([run("dataset")]))) == []
    (row,) = lines(markdown.page(build([run("single")])))
    assert row[3:5] == ["others (re-implemented)", "POMP (arXiv:2304.04704), Table 2"]


def test_latex_and_csv_have_the_published_numbers_with_their_source() -> None:
    tables = build([coop("dtd", seed, 40.0 + seed) for seed in (1, 2, 3)])
    text = latex.page(tables)
    assert text.count(r"\begin{table}") == 2
    assert r"against published numbers" in text
    (row,) = [line for line in text.splitlines() if "its authors" in line]
    assert row.endswith(r"42.0 $\pm$ 2.5 & 41.92 & +0.1 & yes \\")
    measured, printed = list(DictReader(StringIO(csv_json.csv(tables))))
    assert (measured["mean"], measured["published"]) == ("42.0", "")
    assert (printed["mean"], printed["dataset"]) == ("41.92", "dtd".title())
    assert printed["published"].startswith("original: the method's own paper")
    plain = build([coop("dtd", 1, 42.0, recipe="other")])
    assert latex.page(plain).count(r"\begin{table}") == 1
    assert len(list(DictReader(StringIO(csv_json.csv(plain))))) == 1


def test_json_has_the_matches_and_no_key_without_them() -> None:
    assert '"reported"' in csv_json.json(build([coop("dtd", 1, 42.0)]))
    plain = csv_json.json(build([record()]))
    assert '"reported"' not in plain
    assert '"mixed"' not in plain


# --- what must not be compared ------------------------------------------------------------------


def mixture() -> list[Record]:
    return [
        record("coop", name, value=value, **more)
        for name in ("flowers", "pets")
        for value, more in ((50.0, {}), (60.0, {"precision": "bf16"}))
    ]


def test_what_cannot_be_compared_is_mixed_only_on_request() -> None:
    assert [len(table.rows) for table in build(mixture())] == [1, 1]
    (table,) = build(mixture(), allow_mixed=True)
    labels = ["CoOp · precision bf16", "CoOp · precision fp32"]
    assert [row.label for row in table.rows] == labels
    assert table.mixed == ("precision",)
    page = markdown.page([table])
    assert "> **Mixed:** rows of this table differ in precision." in page
    assert "| CoOp · precision bf16 | **60.0** | **60.0** | **60.0** |" in page


def test_what_can_be_compared_has_no_banner() -> None:
    (table,) = build([record("coop"), record("rpp")], allow_mixed=True)
    assert table.mixed == ()
    assert "Mixed" not in markdown.page([table])


def test_a_mixed_table_is_printed_and_never_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in mixture():
        Store(tmp_path).write(one)
    assert main(["leaderboard", "--output", str(tmp_path), "--allow-mixed"]) == 0
    assert "**Mixed:**" in capsys.readouterr().out
    page = (tmp_path / "cross-dataset.md").read_text()
    assert "Mixed" not in page
    assert "the 2 tables of this page" in page
