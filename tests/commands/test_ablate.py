"""`rppbench ablate`: which combinations a grid has, the command, and the committed grid files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from support.commands import RunCommand
from support.toy_plugin import toy_registry

from rppbench.cli import main
from rppbench.errors import UsageError
from rppbench.planning.grids import Design, design
from rppbench.planning.request import Request, TooManyCellsError
from rppbench.terminal.confirm import confirmed

GRIDS = Path(__file__).parents[2] / "leaderboards" / "grids"
TOY = ("--task", "cross-dataset:suite=toy", "--model", "tiny", "--dataset", "toy-one", "toy-two")


# --- the combinations of a grid -----------------------------------------------------------------


@pytest.fixture
def designed(models: Path) -> Callable[..., Design]:
    registry = toy_registry(models)
    tiny = registry.get("backbones", "tiny")
    registry.all("backbones")["other"] = replace(tiny, name="other")

    def of(
        *varied: Mapping[str, Sequence[str]],
        method: str = "context",
        baseline: Mapping[str, str] | None = None,
        one_at_a_time: bool = False,
        **request: Any,
    ) -> Design:
        asked = Request((method,), ("cross-dataset:suite=toy",), backbone="tiny", **request)
        return design(registry, asked, varied, baseline or {}, one_at_a_time=one_at_a_time)

    return of


def labels(grid_design: Design) -> list[str]:
    return [combination.label for combination in grid_design.grid.combinations]


def test_a_grid_is_the_product_with_the_baseline_first(designed: Callable[..., Design]) -> None:
    varied = {"length": ["2", "3"], "both": ["on", "off"]}
    grid_design = designed(varied, baseline={"both": "off"}, seeds=(1, 2))
    assert labels(grid_design) == [
        "length=2, both=off",
        "length=2, both=on",
        "length=3, both=on",
        "length=3, both=off",
    ]
    assert len(grid_design.cells) == len({cell.key for cell in grid_design.cells}) == 4 * 2 * 2
    for combination in grid_design.grid.combinations:
        length, both = (level for _, level in combination.levels)
        cells = {cell.key: cell for cell in grid_design.cells}
        for place in combination.cells:
            cell = cells[place.key]
            assert (cell.dataset, cell.seed) == (place.dataset, place.seed)
            assert cell.method["length"] == int(length)
            assert cell.method["both"] is (both == "on")
    assert grid_design.grid.name == "context-length-both"


def test_a_baseline_outside_of_the_values_is_run_too(designed: Callable[..., Design]) -> None:
    grid_design = designed({"length": ["2", "3"]}, baseline={"length": "4"})
    assert labels(grid_design) == ["length=4", "length=2", "length=3"]


def test_one_at_a_time_changes_one_value_of_the_baseline(designed: Callable[..., Design]) -> None:
    grid_design = designed({"length": ["2", "3", "4"], "both": ["off", "on"]}, one_at_a_time=True)
    assert labels(grid_design) == [
        "length=2, both=off",
        "length=3, both=off",
        "length=4, both=off",
        "length=2, both=on",
    ]


def test_sub_grids_unite_at_the_baseline(designed: Callable[..., Design]) -> None:
    grid_design = designed({"length": ["2", "3"]}, {"both": ["off", "on"], "length": ["2"]})
    assert labels(grid_design) == ["length=2, both=off", "length=3, both=off", "length=2, both=on"]


def test_values_go_by_one_spelling(designed: Callable[..., Design]) -> None:
    grid_design = designed({"recipe.lr": ["0.1", "1e-1", ".123456789"], "both": ["yes", "on"]})
    assert labels(grid_design) == ["recipe.lr=0.1, both=on", "recipe.lr=0.123456789, both=on"]
    rates = {
        dict(cell.training.recipe.options)["lr"] for cell in grid_design.cells if cell.training
    }
    assert rates == {0.1, 0.123456789}


def test_the_recipes_own_value_is_the_cell_that_run_makes(designed: Callable[..., Design]) -> None:
    plain = {cell.key for cell in designed({"length": ["2"]}).cells}
    own = designed({"recipe.epochs": ["2", "3"]})  # what the toy recipe has, and another
    assert {place.key for place in own.grid.baseline.cells} == plain


def test_combinations_of_the_same_cells_are_one(designed: Callable[..., Design]) -> None:
    """The one with most in common with the baseline stays, whatever the order of values."""
    varied = {"kd": ["off", "on"], "teacher": ["tiny", "other"]}
    grid_design = designed(varied, baseline={"kd": "on", "teacher": "other"})
    assert labels(grid_design) == [
        "kd=on, teacher=other",
        "kd=off, teacher=other",
        "kd=on, teacher=tiny",
    ]
    assert grid_design.grid.same == (("kd=off, teacher=tiny", "kd=off, teacher=other"),)
    teachers = {cell.training.teacher for cell in grid_design.cells if cell.training}
    assert teachers == {None, "tiny", "other"}


@pytest.mark.parametrize(
    ("varied", "how", "message"),
    [
        ({"lenght": ["2"]}, {}, "no option to vary is named 'lenght'; did you mean 'length'"),
        ({"recipe.lrr": ["2"]}, {}, "did you mean 'recipe.lr'"),
        ({"length": ["x"]}, {}, "option 'length' is an integer, not 'x'"),
        ({"length": []}, {}, "no values of 'length' to vary"),
        ({}, {}, "say what to vary: --vary"),
        ({"length": ["2"]}, {"baseline": {"lenth": "2"}}, "did you mean 'length'"),
        ({"length": ["2"]}, {"baseline": {"length": "x"}}, "is an integer"),
        ({"length": ["2"]}, {"settings": (("length", "3"),)}, "cannot be given as 'length' too"),
        ({"length": ["2"]}, {"method": "context:length=3"}, "given as 'method.length' too"),
        ({"length": ["2"], "method.length": ["2"]}, {}, "'method.length' is varied"),
        ({"shots": ["1", "2"]}, {"shots": (1,)}, "'shots' is varied"),
        ({"length": ["2"]}, {"shots": (1, 2)}, "to vary them: --vary shots=4,16"),
        ({"teacher": ["tiny"]}, {"teacher": "tiny"}, "'teacher' is varied"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(
    designed: Callable[..., Design],
    varied: Mapping[str, Sequence[str]],
    how: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UsageError) as caught:
        designed(varied, **how)
    assert message in str(caught.value)


MILLION = ",".join(map(str, range(1, 1001)))
LARGE = ("--vary", f"length={MILLION}", "--vary", f"recipe.epochs={MILLION}")
SEEDS = [str(seed) for seed in range(20_000)]


@pytest.mark.parametrize(
    "words",
    [
        ("ablate", "--method", "context", *TOY, *LARGE),
        ("ablate", "--method", "context", *TOY, *LARGE, "--dry-run"),
        ("ablate", "--method", "context", *TOY, *LARGE[:2], "--seed", *SEEDS[:1000]),
        ("run", "--method", "context", *TOY, "--seed", *SEEDS),
        ("plan", "--method", "context", *TOY, *(20 * TOY[:2]), "--seed", *SEEDS[:999]),
    ],
)
def test_very_many_cells_are_counted_not_built(
    run_command: RunCommand, words: tuple[str, ...]
) -> None:
    run_command("plan", "--method", "fixed", *TOY)  # imports
    begin = monotonic()
    status, page, log = run_command(*words)
    assert monotonic() - begin < 2
    assert (status, page) == (2, "")
    assert re.search(r"up to [\d,]+ cells; more than 10,000 are planned only with --yes", log)
    assert not Path("runs").exists()


@pytest.mark.parametrize(("answer", "planned"), [("y\n", True), ("n\n", False), ("", False)])
def test_a_terminal_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    planned: bool,
) -> None:
    def plan(most: float) -> float:
        if most < 12_000:
            raise TooManyCellsError(12_000)
        return most

    terminal = StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    if planned:
        assert confirmed(False, plan) == math.inf
    else:
        with pytest.raises(TooManyCellsError):
            confirmed(False, plan)
    assert "up to 12,000 cells: plan them all? [y/N]" in capsys.readouterr().err
    assert confirmed(True, plan) == math.inf
    assert not capsys.readouterr().err, "--yes asks nothing"


# --- the command --------------------------------------------------------------------------------


WORDS = ("ablate", "--method", "context", *TOY, "--vary", "length=2,3", "--vary", "both=off,on")


def test_ablate_runs_what_is_missing_and_reports(run_command: RunCommand) -> None:
    run_command("run", "--method", "context", *TOY)
    status, page, log = run_command(*WORDS, "--baseline", "length=2, both=off", "--name", "shape")
    assert status == 0
    assert "8 cells: 6 to run, 2 done; 3 trainings" in log
    assert log.splitlines()[-1].startswith("cells: 6 done, 2 had a record, 0 failed")
    assert page.startswith("# Ablation shape: context, Cross-dataset transfer\n")
    assert "| 2 | off |" in page
    assert "| baseline | – | – |" in page
    assert "## Main effects" in page
    assert "differences from length=2, both=off, with 95 % intervals:" in log
    assert sum("●" in line or "○" in line for line in log.splitlines()) == 3 + 1  # and the key
    assert "(ablation-shape.svg)" in page
    drawn = Path("runs/ablation-shape.svg").read_text()
    for title in ("length: main effect", "both: main effect", "length × both"):
        assert title in drawn
    assert Path("runs/ablation-shape.md").read_text() == page
    assert "| Context (both=on, length=3) |" in Path("runs/cross-dataset.md").read_text()
    before = Path("runs/ablation-shape.json").read_bytes()
    for path in Path("runs").glob("ablation-shape.md"):
        path.unlink()
    assert run_command("leaderboard")[0] == 0
    assert Path("runs/ablation-shape.md").read_text() == page
    assert Path("runs/ablation-shape.json").read_bytes() == before
    assert Path("runs/ablation-shape.svg").read_text() == drawn
    status, again, log = run_command(*WORDS, "--name", "shape")
    assert (status, again) == (0, page)
    assert "8 cells: 0 to run, 8 done" in log


def test_an_option_of_the_task_can_be_varied(run_command: RunCommand) -> None:
    """Rows that a leaderboard keeps apart: here the difference between them is the question."""
    status, page, _ = run_command("ablate", "--method", "context", *TOY, "--vary", "shots=1,2")
    assert status == 0
    (row,) = [line for line in page.splitlines() if line.startswith("| 2 |")]
    assert " to " in row
    report = json.loads(Path("runs/ablation-context-shots.json").read_text())
    assert "task option suite" in report["setting"]
    assert "task option shots" not in report["setting"]


def test_a_dry_run_lists_every_combination_and_writes_nothing(run_command: RunCommand) -> None:
    status, table, _ = run_command(
        *WORDS, "--vary", "recipe.lr=0.1", "--one_at_a_time", "--dry-run"
    )
    assert status == 0
    assert "context (length=3, both=off, recipe.lr=0.1)" in table
    assert "length=3, both=on" not in table
    assert "6 cells: 6 to run; 3 trainings" in table
    assert not Path("runs").exists()


def test_a_failed_combination_is_a_gap_and_status_1(run_command: RunCommand) -> None:
    words = ("ablate", "--method", "context", *TOY, "--vary", "length=2,200")
    status, page, log = run_command(*words)
    assert status == 1
    assert "| 200 | – (0/2) |" in page
    assert "length=200 is incomplete: Toy one, seed 1; Toy two, seed 1 (failed, usage: a " in page
    assert "2 failed" in log


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--vary", "length"), "--vary takes KEY=VALUE, not 'length'"),
        (("--vary", "length=2", "--vary", "length=3"), "--vary length is given twice"),
        (("--vary", "lenght=2"), "did you mean 'length'"),
        (("--vary", "length="), "no values of 'length'"),
        (("--vary", "length=2", "--baseline", "length"), "--baseline takes KEY=VALUE"),
        (("--vary", "length=2", "--method", "fixed"), "an ablation takes one method, not 2"),
        (("--vary", "length=2", "--task", "few-shot"), "an ablation takes one task, not 2"),
        ((), "say what to vary"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(
    run_command: RunCommand, words: Sequence[str], message: str
) -> None:
    status, _, complaint = run_command("ablate", "--method", "context", *TOY, *words)
    assert status == 2
    assert message in complaint


def test_what_is_missing_may_be_in_a_plugin_that_did_not_load(run_command: RunCommand) -> None:
    status, _, log = run_command("ablate", "--method", "contxt", *TOY, "--vary", "length=2")
    assert status == 2
    assert "plugin 'old' did not load" in log


def test_a_grid_file_says_the_same_and_flags_win(run_command: RunCommand) -> None:
    Path("base.yaml").write_text("method: context\nseed: 3\nbaseline: {length: 3}\n")
    Path("shape.yaml").write_text(
        "_base_: base.yaml\ntask: cross-dataset:suite=toy\nmodel: tiny\ndataset: toy-one\n"
        "question: Which shape is *best*?\nvary:\n  - length: [2, 3]\n  - both: [off, on]\n"
    )
    status, page, _ = run_command("ablate", "--config", "shape.yaml", "--seed", "1", "2")
    assert status == 0
    assert page.startswith("# Ablation shape: ")
    assert page.splitlines()[2] == r"**Which shape is \*best\*?**"
    assert "seeds 1, 2" in page
    rows = [line for line in page.splitlines() if line.startswith(("| 2", "| 3"))]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| 3", "off"],
        ["| 2", "off"],
        ["| 3", "on"],
    ]
    assert Path("runs/ablation-shape.md").exists()


def grid_files() -> None:
    Path("grids").mkdir()
    Path("grids/base.yaml").write_text(
        "method: context\ntask: cross-dataset:suite=toy\nmodel: tiny\ndataset: [toy-one, toy-two]\n"
        "seed: [1, 2]\n"
    )
    shape = "_base_: base.yaml\nmetric: loss_gap\nvary: {length: [2, 3]}\n"
    Path("grids/shape.yaml").write_text(shape)
    Path("grids/both.yaml").write_text("_base_: base.yaml\nvary: {both: [off, on]}\n")


def test_another_metric_has_a_report_of_its_own(run_command: RunCommand) -> None:
    grid_files()
    status, pages, _ = run_command("ablate", "--config", "grids/shape.yaml")
    assert status == 0
    assert "# Ablation shape: " in pages
    gap = Path("runs/ablation-shape-loss_gap.md").read_text()
    assert pages.endswith(gap)
    assert "Measured: loss_gap in nats" in gap
    assert "(ablation-shape-loss_gap.svg)" in gap


def test_grids_are_published_with_their_records_pages_and_plots_alone(
    run_command: RunCommand,
) -> None:
    grid_files()
    run_command("run", "--method", "fixed", *TOY)
    run_command("ablate", "--config", "grids/shape.yaml")
    status, _, log = run_command("publish", "runs", "--grids", "grids")
    assert status == 0
    assert "both: 4 of 8 cells" in log
    assert "shape: 8 of 8 cells" in log
    assert "records: 8 added" in log
    home = Path("leaderboards/ablations")
    reports = ("both", "shape", "shape-loss_gap")
    assert {path.stem for path in home.glob("*.*")} == {f"ablation-{name}" for name in reports}
    for ending in ("md", "json", "svg", "png"):
        of_run, shared = (f / f"ablation-shape.{ending}" for f in (Path("runs"), home))
        assert of_run.read_bytes() == shared.read_bytes()
    (home / "ablation-shape.md").write_text("edited")
    assert run_command("publish", "runs", "--grids", "grids/shape.yaml")[0] == 0
    assert "edited" not in (home / "ablation-shape.md").read_text()


def test_a_folder_without_grids_is_refused(run_command: RunCommand) -> None:
    grid_files()
    run_command("run", "--method", "fixed", *TOY)
    Path("grids/shape.yaml").unlink()
    Path("grids/both.yaml").unlink()
    for path in ("grids", "nowhere"):
        status, _, log = run_command("publish", "runs", "--grids", path)
        assert status == 2
        assert ("no grids in grids" if path == "grids" else "no config file 'nowhere'") in log


# --- the committed grids ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [path for path in sorted(GRIDS.glob("*.yaml")) if path.name != "base.yaml"], ids=str
)
def test_every_committed_grid_plans(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "--config", str(path), "--dry-run"]) == 0
    assert " trainings" in capsys.readouterr().out


def test_the_grids_ask_what_the_papers_ask() -> None:
    names = (
        "base structure depth length encoders residual kd_weight sampled steps data "
        "pretraining_steps pretraining_data tuning tuning_image geometry unshared teacher"
    )
    assert {path.stem for path in GRIDS.glob("*.yaml")} == set(names.split())
