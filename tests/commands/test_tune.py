"""`rppbench tune`: settings chosen on validation images, and never on test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from support.commands import RunCommand, refused
from support.toy_plugin import ToyOne

from rppbench.comparison.tuning import Trial, against, best_so_far
from rppbench.contracts.dataset import PARTIAL
from rppbench.execution.engines import Inline
from rppbench.leaderboard.number_format import signed_text
from rppbench.planning import grids
from rppbench.records.grid import Combination, Place
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.stats.two_level import Part, difference

TOY = ("--model", "tiny", "--dataset", "toy-one", "--method", "context")
FEW_SHOT = (*TOY, "--task", "few-shot:suite=toy")
LENGTHS = ("--vary", "length=2,3,4")
PLACE = Path("runs/tune/context-length")


def records(folder: Path = PLACE) -> list[Record]:
    return Store(folder).all()[0]


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images of toy-one that were read; reading a test image raises."""
    opened: list[str] = []
    image = ToyOne.image

    def guard(self, sample):
        assert not sample.key.startswith("test/"), f"{sample.key} is a test image"
        opened.append(sample.key)
        return image(self, sample)

    monkeypatch.setattr(ToyOne, "image", guard)
    return opened


def test_a_search_for_something_else_replaces_nothing(run_command: RunCommand) -> None:
    words = ("--set", "recipe.epochs=1", "--shots", "2", "--vary", "length=2,3")
    assert run_command("tune", *FEW_SHOT, *words)[0] == 0
    before = (PLACE / "chosen.yaml").read_text()
    task = ("--task", "base-to-new:suite=toy")
    status, _, complaint = run_command("tune", *TOY, *task, *words)
    assert (status, (PLACE / "chosen.yaml").read_text()) == (2, before)
    assert "holds a search with task few-shot:suite=toy, not base-to-new:suite=toy" in complaint
    assert run_command("tune", *TOY, *task, *words, "--name", "other")[0] == 0


@pytest.mark.parametrize("validation", ["few-shot", "full", "held-out-shot"])
@pytest.mark.parametrize("task", ["few-shot", "base-to-new", "cross-dataset"])
def test_no_test_image_is_read(
    run_command: RunCommand, guarded: list[str], task: str, validation: str
) -> None:
    source = (":suite=toy,source=toy-one" if task == "cross-dataset" else ":suite=toy",)
    words = (*TOY[:-2], "--method", "context", "--task", f"{task}{source[0]}", "--shots", "2")
    status, page, complaints = run_command(
        "tune", *words, *LENGTHS, "--validation", validation, "--set", "recipe.epochs=1"
    )
    assert status == 0, complaints
    assert "No test image was read." in page
    assert guarded, "images were read"
    score = records()[0].score()
    assert score is not None
    classes = {"few-shot": 7, "base-to-new": 4, "cross-dataset": 5}[task]
    assert score.total == classes * (1 if validation == "held-out-shot" else 2)


def test_targets_choose_on_all_validation_images_of_what_the_task_scores(
    run_command: RunCommand, guarded: list[str]
) -> None:
    words = (*("--model", "tiny", "--method", "context"), "--dataset", "toy-one")
    task = "cross-dataset:suite=toy,source=toy-two"
    status, page, complaints = run_command(
        *("tune", *words, "--task", task, "--shots", "2", "--set", "recipe.epochs=1"),
        *(*LENGTHS, "--validation", "targets"),
    )
    assert status == 0, complaints
    assert "the complete validation splits of the data sets that the task scores" in page
    assert all(key.startswith("val/") for key in guarded)
    assert {r.cell.dataset for r in records()} == {"toy-one"}
    assert {r.cell.training.source for r in records() if r.cell.training} == {"toy-two"}
    scores = [score for r in records() if (score := r.score()) is not None]
    assert [score.total for score in scores] == [7 * 2] * 3, "all classes, learned or not"

    *others, best = sorted(scores, key=lambda score: score.value)
    for score in others:
        right, chosen = (np.array([one.outcomes()], dtype=np.int8) for one in (score, best))
        shown = difference([Part(right - chosen)])
        mean, low, high = map(signed_text, (shown.mean, shown.low, shown.high))
        assert f"| {mean} ({low} to {high}) |" in page, "the images are the same in all trials"


def test_the_best_trial_becomes_a_file_that_run_takes(run_command: RunCommand) -> None:
    given = ("--shots", "2", "--seed", "1", "2", "--set", "recipe.epochs=1")
    status, page, complaints = run_command("tune", *FEW_SHOT, *given, *LENGTHS)
    assert status == 0, complaints
    means: dict[str, list[float]] = {}
    for record in records():
        score = record.score()
        assert score is not None
        means.setdefault(str(record.cell.method["length"]), []).append(score.value)
    best = max(("2", "3", "4"), key=lambda length: sum(means[length]))
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    heads = ["length", "Trial", "Validation top1", "Best so far", "Against the chosen"]
    assert rows[0] == heads
    assert [row[0] for row in rows[2:] if row[-1] == "chosen"] == [best]
    assert [row[2] for row in rows[2:]] == [f"{sum(means[n]) / 2:.1f}" for n in ("2", "3", "4")]
    behind = [signed_text(sum(means[n]) / 2 - sum(means[best]) / 2) for n in ("2", "3", "4")]
    shown = [row[-1].partition(" ")[0] for row in rows[2:]]
    assert [mean for mean in shown if mean != "chosen"] == [m for m in behind if m != "0.0"]
    assert (PLACE / "tune.md").read_text() == page
    chosen = yaml.safe_load((PLACE / "chosen.yaml").read_text())
    assert chosen["set"] == {"recipe.epochs": "1", "length": best, "recipe.tuned": "few-shot"}
    assert "partial" not in chosen
    assert not Path("runs/records").exists(), "trials have a folder of their own"

    status, page, complaints = run_command("run", "--config", str(PLACE / "chosen.yaml"))
    assert status == 0, complaints
    tested = records(Path("runs"))
    assert {(r.cell.seed, str(r.cell.method["length"])) for r in tested} == {(1, best), (2, best)}
    assert {r.cell.task.name for r in tested} == {"few-shot"}
    assert "| Validation |" in page
    assert "| none, tuned: few-shot |" in page


def test_seeds_that_choose_on_images_of_their_own_have_no_interval(run_command: RunCommand) -> None:
    words = ("--shots", "2", "--seed", "1", "2", "--validation", "held-out-shot")
    status, page, complaints = run_command(
        "tune", *FEW_SHOT, *words, "--set", "recipe.epochs=1", *LENGTHS
    )
    assert status == 0, complaints
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert sorted(row[-1] == "chosen" for row in rows[2:]) == [False, False, True]
    assert not [row[-1] for row in rows[2:] if " to " in row[-1]]


def test_a_search_resumes_and_a_larger_budget_continues_it(run_command: RunCommand) -> None:
    words = ("tune", *FEW_SHOT, "--vary", "length=1,2,3,4,5,6", "--set", "recipe.epochs=1")

    def lengths() -> set[object]:
        return {record.cell.method["length"] for record in records()}

    assert "cells: 3 done, 0 had a record" in run_command(*words, "--budget", "3")[2]
    first = lengths()
    assert 1 in first, "the first value of each option is always tried"
    assert "cells: 0 done, 3 had a record" in run_command(*words, "--budget", "3")[2]
    assert "cells: 2 done, 3 had a record" in run_command(*words, "--budget", "5")[2]
    assert len(lengths()) == 5
    assert lengths() > first


def test_a_search_on_partial_data_is_tested_on_them_too(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PARTIAL, "1")  # which the commands set, and the test takes back
    words = ("--shots", "2", "--set", "recipe.epochs=1", "--vary", "length=2,3", "--partial")
    status, _, complaints = run_command("tune", *FEW_SHOT, *words)
    assert status == 0, complaints
    assert yaml.safe_load((PLACE / "chosen.yaml").read_text())["partial"] is True
    assert run_command("run", "--config", str(PLACE / "chosen.yaml"))[0] == 0
    assert [bool(record.cell.marks) for record in records(Path("runs"))] == [True]


def test_nothing_is_chosen_before_the_workers_of_a_detached_search_have_run(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inline, "submit", lambda self, job, batches: [f"{len(batches)} submitted"])
    status, page, remarks = run_command("tune", *FEW_SHOT, *LENGTHS, "--detach")
    assert (status, page) == (0, "")
    assert "3 submitted" in remarks
    assert not list(PLACE.glob("*.md"))


def test_a_helper_of_torchrun_plans_no_search(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert run_command("tune", *FEW_SHOT, *LENGTHS, "--dry-run") == (0, "", "")


def test_the_order_of_a_draw_is_always_the_same() -> None:
    every = [{"a": str(number)} for number in range(30)]
    small, large = grids._within(every, 5), grids._within(every, 9)
    assert large[:5] == small
    assert small[0] == every[0]
    assert small != every[:5]
    assert grids._within(every, 30) == every


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--vary", "length=2,3", "--budget", "0"), "budget must be at least 1, not 0"),
        (("--vary", "length=2,3", "--validation", "test"), "validation is named 'test'"),
        ((), "say what to vary"),
        (("--vary", "length=2,3", "--validation", "held-out-shot", "--shots", "1"), "two shots"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    run_command: RunCommand, words: tuple[str, ...], message: str
) -> None:
    assert message in refused(run_command, "tune", *FEW_SHOT, *words)


def test_a_method_that_learns_nothing_is_refused(run_command: RunCommand) -> None:
    words = ("--model", "tiny", "--method", "fixed", "--task", "few-shot:suite=toy")
    message = refused(run_command, "tune", *words, "--vary", "shots=2,3")
    assert "'fixed' learns nothing" in message


def test_of_equal_trials_the_first_is_chosen_and_incomplete_ones_never() -> None:
    def trial(*values: float, cells: int = 2) -> Trial:
        places = tuple(Place(str(number), "toy", number) for number in range(cells))
        return Trial(Combination((), places), values, 10)

    tried = [trial(90.0), trial(50.0, 60.0), trial(60.0, 50.0), trial(70.0, 50.0), trial()]
    best = best_so_far(tried)
    assert best[0] is None
    assert [tried.index(one) for one in best[1:] if one] == [1, 1, 3, 3]
    assert best_so_far([]) == []
    assert against(tried[1], tried[0]) is None, "incomplete"


def test_an_ablation_on_validation_images_reads_no_test_image(
    run_command: RunCommand, guarded: list[str]
) -> None:
    words = ("ablate", *FEW_SHOT, *LENGTHS, "--set", "recipe.epochs=1", "--shots", "2")
    status, _, complaints = run_command(*words, "--split", "val")
    assert status == 0, complaints
    assert "no way to choose" not in complaints
    assert {record.cell.task.name for record in records(Path("runs"))} == {"validation"}
    assert Path("runs/ablation-context-length-val.md").exists()
    assert "split is named 'train'" in refused(run_command, *words, "--split", "train")


def test_an_ablation_on_test_images_says_that_it_is_no_way_to_choose(
    run_command: RunCommand,
) -> None:
    words = ("ablate", *FEW_SHOT, *LENGTHS, "--set", "recipe.epochs=1", "--shots", "2")
    status, _, complaints = run_command(*words)
    assert status == 0, complaints
    assert "it is no way to choose its settings" in complaints
    assert "rppbench tune" in complaints
