"""Columns of cost and of seen names: where some row has a value, and nowhere else."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from support.records import record, records

from rppbench.leaderboard.build import build, build_with_variants
from rppbench.leaderboard.number_format import large_text
from rppbench.records.record import SEEN_NAMES, Record
from rppbench.reporting import csv_json, markdown
from rppbench.reporting.site.files import site

HEADS = ["FLOPs an image", "FLOPs a class set", "Images a second"]


def live(method: str, dataset: str, factor: int = 1, seen: str = "", **of: Any) -> Record:
    one = record(method, dataset, **of)
    cost = replace(
        one.cost,
        flops_per_image=factor * 33_700_000_000,
        flops_per_class_set=factor * 5_000_000,
        images_per_second=40.0 * factor,
    )
    labels = {**one.labels, **({SEEN_NAMES: seen} if seen else {})}
    return replace(one, cost=cost, labels=labels)


def table_lines(given: list[Record]) -> list[list[str]]:
    lines = markdown.page(build(given)).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (950, "950"), (999.4, "999"), (999.6, "1.00 k"), (9_996, "10.0 k")),
        *((33_700_000_000, "33.7 G"), (1.2e12, "1.20 T"), (123_456_789, "123 M")),
    ],
)
def test_large_numbers_have_three_digits(number: float, text: str) -> None:
    assert large_text(number) == text


def test_old_records_have_none_of_the_columns(tmp_path: Path) -> None:
    tables = build(records())
    for text in (
        markdown.page(tables),
        csv_json.csv(tables),
        csv_json.json(tables),
        *site(build_with_variants(records()), tmp_path).values(),
    ):
        for word in (*HEADS, "flops", "inference", "seen_names", "Seen names"):
            assert word not in text


def test_a_column_stands_where_one_row_has_a_value() -> None:
    given = [
        live("coop", "birds", seen="3/10", value=50),
        live("coop", "cars", factor=3, seen="0/40", value=50),
        record("pomp", "birds", value=40),
        record("pomp", "cars", value=40),
    ]
    heads, _, coop, pomp = table_lines(given)[:4]
    assert heads[-6:] == ["Parameters", "Train time", *HEADS, "Seen names"]
    assert coop[-4:] == ["67.4 G", "10.0 M", "80", "3/50"]
    assert pomp[-4:] == ["–"] * 4
    page = markdown.page(build(given))
    assert "FLOPs and images a second are those of live predictions" in page
    assert "Seen names: how many class names were learned on another data set" in page


def test_seeds_count_a_data_set_once() -> None:
    given = [live("coop", "birds", seen="3/10", seed=seed) for seed in (1, 2, 3)]
    assert table_lines(given)[2][-1] == "3/10"


def test_a_broken_label_counts_as_none() -> None:
    for text in ("3", "x/y", "/", "3/"):
        assert "Seen names" not in markdown.page(build([live("coop", "birds", seen=text)]))


def test_files_have_all_digits_by_data_set() -> None:
    given = [live("coop", "birds", seen="3/10"), live("coop", "cars", seen="0/40")]
    given.append(record("pomp", "birds"))
    tables = build(given)
    lines = list(csv.DictReader(StringIO(csv_json.csv(tables))))
    assert [(line["dataset"], line["seen_names"]) for line in lines] == [
        *(("birds", "3 of 10"), ("cars", "0 of 40"), ("birds", ""), ("cars", "")),
    ]
    assert float(lines[0]["flops_per_image"]) == 33_700_000_000
    assert lines[2]["flops_per_image"] == ""
    rows = json.loads(csv_json.json(tables))["tables"][0]["rows"]
    by_method = {row["method"]: row for row in rows}
    assert by_method["coop"]["inference"]["images_per_second"] == 40.0
    assert by_method["coop"]["seen_names"] == [["birds", 3, 10], ["cars", 0, 40]]
    assert "inference" not in by_method["pomp"]


def test_the_page_sorts_by_the_columns(tmp_path: Path) -> None:
    files = site(build_with_variants([live("coop", "birds", seen="3/12")]), tmp_path)
    page = files["cross-dataset.html"]
    assert 'data-v="33700000000.0"' in page
    assert 'data-v="0.25">3/12' in page
    assert 'data-first="desc"><span class="h">Images a second' in page
    assert 'data-first="asc"><span class="h">FLOPs an image' in page
