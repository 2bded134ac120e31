"""`--partial`: a published set with fewer images can be tried, is marked, and stands apart."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import record
from support.roots.coop_root import KINDS, make, open_set

from rppbench.commands.requests import loaded, requests
from rppbench.contracts.dataset import PARTIAL as VARIABLE
from rppbench.contracts.dataset import may_be_partial
from rppbench.data.root import use_partial
from rppbench.errors import MissingDataError
from rppbench.leaderboard.build import build
from rppbench.planning.plan import cells
from rppbench.planning.settings import Settings
from rppbench.records.cell import PARTIAL
from rppbench.reporting.markdown import page


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")  # so that it is put back after the test


def test_listed_images_that_are_missing_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = make(tmp_path, "dtd", monkeypatch)
    test = complete.samples("test")
    complete.file(test[0]).unlink()
    with pytest.raises(MissingDataError, match="no image"):
        open_set("dtd")
    use_partial(True)
    partial = open_set("dtd")
    assert partial.samples("test") == test[1:]
    assert len(partial.samples("train")) == 1, "the small root has one training image"
    assert partial.fingerprint() != complete.fingerprint()
    assert partial.classes == complete.classes
    for split in ("train", "val", "test"):
        for sample in partial.samples(split):
            partial.file(sample).unlink()
    with pytest.raises(MissingDataError, match="none of its images is in"):
        open_set("dtd")


def test_folders_may_hold_fewer_images_but_never_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = make(tmp_path, "imagenet_sketch", monkeypatch)
    count = len(complete.samples("test"))
    monkeypatch.setattr(KINDS["imagenet_sketch"], "counts", {"test": count + 1})
    with pytest.raises(MissingDataError, match=f"has {count:,} 'test' images"):
        open_set("imagenet_sketch").samples("test")
    use_partial(True)
    assert len(open_set("imagenet_sketch").samples("test")) == count
    monkeypatch.setattr(KINDS["imagenet_sketch"], "counts", {"test": count - 1})
    with pytest.raises(MissingDataError, match=f"has {count:,} 'test' images"):
        open_set("imagenet_sketch").samples("test")


def test_the_setting_marks_cells_and_allows_missing_images_until_the_next_command() -> None:
    chosen = Settings(method=("zeroshot",), task=("few-shot",), model=("demo",), partial=True)
    registry = loaded(chosen)
    assert may_be_partial()
    marked = cells(registry, requests(registry, chosen)[0])
    complete = replace(chosen, partial=False)
    registry = loaded(complete)
    assert not may_be_partial()
    assert VARIABLE not in os.environ
    others = cells(registry, requests(registry, complete)[0])
    assert all(PARTIAL in cell.inputs and cell.marks for cell in marked)
    assert not any(cell.marks for cell in others)
    assert not {cell.key for cell in marked} & {cell.key for cell in others}
    assert not {cell.comparability for cell in marked} & {cell.comparability for cell in others}


def test_partial_numbers_never_stand_beside_complete_ones_and_say_what_they_are() -> None:
    complete = record("coop", value=40.0)
    other = record("rpp", value=90.0)
    partial = replace(other, cell=replace(other.cell, inputs=(*other.cell.inputs, PARTIAL)))
    tables = build([complete, partial])
    assert [[row.method for row in table.rows] for table in tables] in (
        [["coop"], ["rpp"]],
        [["rpp"], ["coop"]],
    )
    text = page(tables)
    assert text.count("PARTIAL data: fewer images than published") == 1
    assert "PARTIAL" not in page(build([complete]))
    assert "PARTIAL" in page(build([partial])), "also where it is the only table"
