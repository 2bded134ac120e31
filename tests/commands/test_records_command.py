"""`rppbench records`: single records are listed, shown and dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import RunCommand, refused, table_rows
from support.toy_plugin import PluginOf, ToyBroken

from rppbench.records.record import Record
from rppbench.records.store import Store

TOY = ("--task", "cross-dataset:suite=toy", "--model", "tiny")
MORE = PluginOf([], [ToyBroken])


@pytest.fixture
def records(run_command: RunCommand) -> dict[str, Record]:
    """Records of two data sets that are well and of one whose images cannot be read."""
    assert run_command("run", "--method", "fixed", *TOY)[0] == 1
    return {record.cell.dataset: record for record in Store(Path("runs")).all()[0]}


def test_a_line_for_each_record(run_command: RunCommand, records: dict[str, Record]) -> None:
    status, text, _ = run_command("records", "list")
    assert status == 0
    heads, *rows = table_rows(text)
    assert heads == ["Key", "Method", "Task", "Data set", "Seed", "Result"]
    assert len(rows) == 3
    assert [records["toy-one"].key, "fixed"] in [row[:2] for row in rows]
    assert "failed, OSError: cannot identify image file test/0/0" in text
    for words, names in (
        (("--status", "failed"), {"toy-broken"}),
        (("--dataset", "toy-one", "toy-two"), {"toy-one", "toy-two"}),
        (("--method", "other"), set()),
        ((records["toy-two"].key[:8],), {"toy-two"}),
    ):
        _, text, _ = run_command("records", "list", *words)
        assert {name for name in records if name in text} == names


def test_all_of_a_record_is_shown(run_command: RunCommand, records: dict[str, Record]) -> None:
    status, text, _ = run_command("records", "show", records["toy-one"].key)
    assert status == 0
    assert "method: fixed\n" in text
    assert "top1: 28.5714 (4 of 14)\n" in text
    status, text, _ = run_command("records", "show", records["toy-broken"].key)
    assert "failure: OSError: cannot identify" in text
    assert "details: Traceback" in text
    assert "  File " in text
    message = refused(run_command, "records", "show", "nothing")
    assert "no keys of records begin with 'nothing'" in message


@pytest.mark.parametrize("lines", [False, True])
def test_a_dropped_record_is_forgotten(
    lines: bool, run_command: RunCommand, records: dict[str, Record]
) -> None:
    store = Store(Path("runs"))
    if lines:
        store.write_lines(records.values())
    key = records["toy-broken"].key
    _, page, log = run_command("leaderboard")
    assert "Toy broken" in page
    assert f"failed: {key} fixed on toy-broken (cross-dataset, seed 1): OSError: " in log
    assert "`rppbench records drop KEY --output runs` removes one" in log
    message = refused(run_command, "records", "drop", key)
    assert "nothing is dropped without --yes" in message
    assert len(store.all()[0]) == 3
    status, _, log = run_command("records", "drop", "--status", "failed", "--yes")
    assert status == 0
    assert log == "dropped 1 record; 2 left in runs\n"
    assert "Toy broken" not in Path("runs/cross-dataset.md").read_text()
    _, page, log = run_command("leaderboard")
    assert "Toy broken" not in page
    assert "failed" not in log
    assert {r.cell.dataset for r in store.all()[0]} == {"toy-one", "toy-two"}
    assert run_command("records", "drop", "--task", "cross-dataset", "--yes")[0] == 0
    assert store.all() == ([], [])
    assert not list(Path("runs").glob("cross-dataset.*"))


def test_what_to_drop_must_be_said(run_command: RunCommand, records: dict[str, Record]) -> None:
    message = refused(run_command, "records", "drop", "--yes")
    assert "choose what to drop" in message
    assert "is not the folder of a run" in refused(
        run_command, "records", "list", "--output", "elsewhere"
    )
    assert len(Store(Path("runs")).all()[0]) == 3
