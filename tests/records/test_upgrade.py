"""Records of schema 1, as rppbench 0.1 wrote them: read, checked, and made into those of today."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from rppbench.cli import main
from rppbench.records.merge import faults, merge, publish
from rppbench.records.store import Store

DATA = Path(__file__).parent / "data" / "schema-1"
"""With training, without, of two halves, from a start, of boxes, with a recipe of AdamW, imported
from another program, and failed."""


@pytest.fixture
def old(tmp_path: Path) -> Store:
    return Store(Path(shutil.copytree(DATA, tmp_path / "old")))


def paths(store: Store) -> list[Path]:
    return sorted(store.records.rglob("*.json"))


def content(store: Store) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in paths(store)]


def test_old_records_are_read_with_all_they_say(old: Store) -> None:
    stored, problems = old.stored()
    assert problems == []
    assert len(stored) == 8
    by_path = {one.path: one.record for one in stored}
    for path in paths(old):
        before, record = json.loads(path.read_bytes()), by_path[path]
        assert record.key != before["key"]
        assert (record.status, record.metric) == (before["status"], before["metric"])
        for score, one in zip(record.scores, before["scores"], strict=True):
            assert (score.metric, score.value) == (one["metric"], one["value"])
            assert (score.correct, score.total) == (one["correct"], one["total"])
            outcomes = score.outcomes()
            assert (outcomes is None) == (one["outcomes"] is None)
            assert outcomes is None or sum(outcomes) == one["correct"]
        assert before["cost"].items() <= asdict(record.cost).items()
        assert (record.failure and asdict(record.failure)) == before["failure"]
        assert record.labels == before["labels"]
        assert list(record.training_log) == before["training_log"]
        assert record.environment == before["environment"]
        assert (record.draw, record.started) == (before.get("draw", ""), before["started"])
        cell, training = before["cell"], record.cell.training
        assert record.cell.inputs == tuple(map(tuple, cell["inputs"]))
        assert dict(record.cell.method.options) == dict(cell["method"]["options"])
        assert (training is None) == (cell["training"] is None)
        if record.status == "ok":
            assert list(faults(record)) == []


def test_what_schema_1_left_out_of_a_recipe_is_there_but_not_of_other_programs(old: Store) -> None:
    trained = {
        (one.cell.method.name, one.cell.task.name): one.cell.training.recipe.options
        for one in old.all()[0]
        if one.cell.training
    }
    usual = {"schedule": "cosine", "optimiser": "sgd", "protocol": ""}
    options = dict(trained["coop", "cross-dataset"])
    assert {name: options[name] for name in usual} == usual
    assert dict(trained["tip-adapter-f", "few-shot"])["optimiser"] == "adamw"
    assert not dict(trained["coop", "few-shot"]).keys() & usual.keys()
    (tuned,) = (one for one in old.all()[0] if one.cell.training and one.cell.training.start)
    assert tuned.cell.training is not None
    assert tuned.cell.training.start is not None
    assert usual.items() <= dict(tuned.cell.training.start.recipe.options).items()


def test_merge_and_publish_upgrade_and_the_tables_stay(
    old: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", "--output", str(old.root)]) == 0
    page = capsys.readouterr().out
    before = [path.read_bytes() for path in paths(old)]
    for name in ("merged", "published"):
        into = Store(tmp_path / name)
        if name == "merged":
            assert main(["merge", str(into.root), str(old.root)]) == 0
            assert b'"schema":2' in paths(into)[0].read_bytes()
        else:
            assert publish(old, into, failed=True)[0].added == 8
        assert into.all() == old.all()
        capsys.readouterr()
        assert main(["leaderboard", "--output", str(into.root)]) == 0
        assert capsys.readouterr().out == page
        assert merge(into, [old]).known == 8
    assert [path.read_bytes() for path in paths(old)] == before


def test_a_record_of_today_counts_in_place_of_the_old_one(old: Store) -> None:
    first, *others = old.all()[0]
    again = replace(first, finished="2027-01-01T00:00:00+00:00")
    old.write(again)
    assert old.read(first.cell) == again
    assert old.all() == ([again, *others], [])
    last = replace(first, finished="2028-01-01T00:00:00+00:00")
    old.write_lines([last])
    assert old.all() == ([last, *others], [])
    assert len(paths(old)) == len(others), "the old file went with the one of today"


def test_an_old_record_is_found_by_the_cell_of_today(old: Store) -> None:
    for one in old.all()[0]:
        assert old.read(one.cell) == one


def sealed(data: dict[str, Any]) -> dict[str, Any]:
    """With the digest that schema 1 would have given it."""
    kept = {name: value for name, value in data.items() if name != "digest"}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {**kept, "digest": hashlib.sha256(text.encode()).hexdigest()[:12]}


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "edited": (lambda data: {**data, "metric": "top5"}, "does not match its digest"),
    "no digest": (lambda data: {**data, "digest": None}, "does not match its digest"),
    "another key": (lambda data: sealed({**data, "key": "0" * 12}), "is not the digest of its"),
    "another cell": (
        lambda data: sealed({**data, "cell": {**data["cell"], "seed": 9}}),
        "is not the digest of its cell",
    ),
    "a wrong type": (lambda data: sealed({**data, "scores": "none"}), "Expected `array`, got"),
    "a number for a cell": (lambda data: sealed({**data, "cell": 1}), "Expected `object`, got"),
    "options of today": (
        lambda data: sealed(
            {**data, "cell": {**data["cell"], "task": {"name": "x", "options": {}}}}
        ),
        "Expected `array`, got `object`",
    ),
    "an unknown field": (lambda data: sealed({**data, "colour": "red"}), "unknown field `colour`"),
    "schema 0": (lambda data: {**data, "schema": 0}, "unknown record schema 0"),
    "schema True": (lambda data: {**data, "schema": True}, "unknown record schema True"),
    "schema 3": (
        lambda data: {**data, "schema": 3},
        "record schema 3 is newer than this rppbench, which reads up to 2; upgrade rppbench",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_old_record_is_named_and_hides_no_other(old: Store, kind: str) -> None:
    change, reason = DAMAGE[kind]
    path = paths(old)[1]
    path.write_text(json.dumps(change(json.loads(path.read_bytes()))))
    records, problems = old.all()
    assert len(records) == 7
    (problem,) = problems
    assert problem.path == path
    assert reason in problem.reason


def test_an_old_record_at_another_place_is_named(old: Store) -> None:
    path = paths(old)[0]
    moved = path.rename(path.with_name("seed1-000000000000.json"))
    (problem,) = old.all()[1]
    assert problem.path == moved
    assert str(path) in problem.reason
