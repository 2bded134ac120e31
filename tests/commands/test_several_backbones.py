"""Several backbones in one run: every command keeps them apart."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.commands import RunCommand, refused, table_rows
from support.toy_plugin import save_tiny

from rppbench.execution import runner as runner_module
from rppbench.records.store import Store

pytestmark = pytest.mark.slow  # the second pass of .ci/run has it

TOY = ("--task", "cross-dataset:suite=toy", "--dataset", "toy-one", "toy-two")
RUN = ("run", "--method", "fixed", "context", "context:length=3", *TOY, "--seed", "1", "2")
BOTH = ("--model", "tiny", "second")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two plugin's backbones of equal shape."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny(folder)
    save_tiny(folder, "second", seed=5)
    return folder


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backbones that were loaded, in order."""
    names: list[str] = []
    load = runner_module.load

    def counted(backbone: str, *others: Any) -> Any:
        names.append(backbone)
        return load(backbone, *others)

    monkeypatch.setattr(runner_module, "load", counted)
    return names


def test_each_backbone_is_loaded_once_and_has_tables_of_its_own(
    run_command: RunCommand, loads: list[str]
) -> None:
    status, page, log = run_command(*RUN, *BOTH)
    assert status == 0, log
    assert loads == ["tiny", "second"]
    assert "20 cells: 20 to run" in log
    assert page.count("## backbone: tiny") == page.count("## backbone: second") == 1
    assert "tables of this page were measured under different conditions" in page
    assert "context backbone" not in log
    assert "context length=2 tiny, toy-one, seed 1" in log
    records, _ = Store(Path("runs")).all()
    values = {
        (r.cell.backbone, r.cell.method.options, r.cell.dataset, r.cell.seed) for r in records
    }
    assert len(values) == 20


def test_the_cells_of_one_backbone_are_those_of_a_run_with_it_alone(
    run_command: RunCommand,
) -> None:
    run_command(*RUN, "--model", "second", "--output", "alone")
    run_command(*RUN, *BOTH)
    both, _ = Store(Path("runs")).all()
    alone, _ = Store(Path("alone")).all()
    scores = {record.key: record.scores for record in both}
    assert alone
    assert all(scores[record.key] == record.scores for record in alone)


def test_a_run_continues_with_a_backbone_that_is_added(
    run_command: RunCommand, loads: list[str], tmp_path: Path
) -> None:
    (tmp_path / "models.txt").write_text("# two\ntiny\nsecond\n")
    run_command(*RUN, "--model", "tiny")
    loads.clear()
    status, _, log = run_command(*RUN, "--model", "models.txt")
    assert status == 0
    assert "20 cells: 10 to run, 10 done" in log
    assert loads == ["second"]


def test_a_plan_has_a_column_for_the_backbone_where_there_are_several(
    run_command: RunCommand,
) -> None:
    status, table, _ = run_command("plan", *RUN[1:], "--model", "second,tiny")
    assert status == 0
    heads, *rows = table_rows(table)
    assert heads[:2] == ["Backbone", "Method"]
    assert [row[0] for row in rows if "toy-one" in row] == ["second"] * 5 + ["tiny"] * 5
    _, table, _ = run_command("plan", *RUN[1:], "--model", "tiny")
    assert table_rows(table)[0][0] == "Method"


def test_pages_and_comparisons_keep_backbones_apart(run_command: RunCommand) -> None:
    run_command(*RUN, *BOTH)
    status, page, _ = run_command("leaderboard")
    assert status == 0
    assert sorted(re.findall(r"^## backbone: (.*)$", page, re.MULTILINE)) == ["second", "tiny"]
    mixed = run_command("leaderboard", "--allow-mixed")[1]
    assert "Context · backbone tiny" in mixed
    tables = json.loads(Path("runs/cross-dataset.json").read_text())["tables"]
    assert {dict(table["setting"])["backbone"] for table in tables} == {"tiny", "second"}
    for suffix in ("csv", "tex"):
        text = Path(f"runs/cross-dataset.{suffix}").read_text()
        assert "tiny" in text
        assert "second" in text
    status, page, _ = run_command("compare", "fixed", "context:length=3")
    assert status == 0
    assert sorted(re.findall(r"^## backbone: (.*)$", page, re.MULTILINE)) == ["second", "tiny"]
    assert run_command("report", "--to", "site")[0] == 0
    site = Path("site/cross-dataset.html").read_text()
    for name in ("tiny", "second"):
        assert site.count(f'data-key="backbone-{name}"') == 1
        assert site.count(f'<h2 class="sr">backbone {name}</h2>') == 1


def test_an_ablation_has_a_report_for_each_backbone(run_command: RunCommand) -> None:
    words = ("ablate", "--method", "context", *TOY, "--vary", "length=2,3", *BOTH)
    status, table, _ = run_command(*words, "--dry-run")
    assert status == 0
    assert table_rows(table)[0][0] == "Backbone"
    status, pages, log = run_command(*words)
    assert status == 0
    assert "8 cells: 8 to run" in log
    names = sorted(path.name for path in Path("runs").glob("ablation-*.md"))
    assert names == ["ablation-context-length-second.md", "ablation-context-length-tiny.md"]
    for name in ("tiny", "second"):
        page = Path(f"runs/ablation-context-length-{name}.md").read_text()
        assert page in pages
        assert f"backbone {name}" in page
    assert run_command("report", "--to", "site")[0] == 0
    assert "ablation-context-length-second.html" in Path("site/index.html").read_text()


def test_a_prompt_of_two_backbones_must_be_chosen(run_command: RunCommand) -> None:
    run_command("run", "--method", "context", *TOY, *BOTH)
    message = refused(run_command, "export", "context", "--to", "prompt")
    assert "tiny" in message
    assert "second" in message
