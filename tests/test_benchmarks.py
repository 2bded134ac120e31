"""The benchmarks of speed with a small model: complete results, and sides that agree."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ALL = Path(__file__).parent.parent / "benchmarks" / "all.py"
PARTS = ("step", "competent", "attention", "fewshot", "evaluation", "scaling", "gpu")
"""All but the start of commands, which takes a process for each."""
RUNS = ["plain", "competent, cold", "competent, warm", "cold", "warm"]


def run_all(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ALL), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    done = run_all("--quick", "--output", str(folder), "--parts", *PARTS)
    assert done.returncode == 0, done.stderr
    return folder


def read(results: Path, part: str) -> dict:
    return json.loads((results / f"{part}.json").read_text())


@pytest.mark.slow
def test_one_command_writes_a_report_and_all_measurements_of_each_part(results):
    names = sorted(path.name for path in results.iterdir())
    assert names == sorted(f"{part}.{kind}" for part in (*PARTS, "all") for kind in ("json", "md"))
    for part in (*PARTS, "all"):
        assert read(results, part)["environment"]["machine"]
        assert "| --- |" in (results / f"{part}.md").read_text()


@pytest.mark.slow
def test_every_method_is_timed_on_both_sides_with_the_extrapolation_declared(results):
    rows = read(results, "step")["rows"]
    by_method = {(row["method"], row["classes"]): row for row in rows}
    assert set(by_method) == {(m, c) for m in ("coop", "maple", "pomp", "rpp") for c in (8, 16)}
    assert all(row["ours"]["cpu"] > 0 and row["plain"]["cpu"] > 0 for row in rows)
    assert by_method["coop", 8]["text_times"] == 1
    assert by_method["coop", 16]["text_times"] == 2
    assert "(text x 2)" in (results / "step.md").read_text()


@pytest.mark.slow
def test_the_plain_text_pass_is_that_of_open_clips_own_modules(results):
    assert read(results, "step")["control"]["largest_difference"] < 1e-5


@pytest.mark.slow
def test_a_competent_user_computes_the_same_gradient(results):
    rows = read(results, "competent")["rows"]
    assert [(row["method"], row["stored"]) for row in rows] == [
        ("coop", True),
        ("maple", False),
        ("rpp", False),
    ]
    for row in rows:
        assert row["apart"] < 1e-4
        assert 0 < row["low"] <= row["ratio"] <= row["high"]


@pytest.mark.slow
def test_all_ways_through_the_text_tower_give_the_same_numbers(results):
    ways = read(results, "attention")["ways"]
    assert set(ways) == {"shared", "packed", "copied", "ours"}
    assert all(way["apart"] < 1e-5 for way in ways.values())


@pytest.mark.slow
def test_the_sides_of_a_training_get_the_same_images_right(results):
    for row in read(results, "fewshot")["rows"]:
        assert list(row["runs"]) == RUNS
        assert {run["correct"] for run in row["runs"].values()} == {row["runs"]["plain"]["correct"]}
        assert row["runs"]["plain"]["steps"] > 0


@pytest.mark.slow
def test_only_prompts_in_the_image_tower_make_it_run_for_each_method(results):
    runs = read(results, "evaluation")["runs"]
    assert list(runs) == RUNS
    assert {m: one["frozen"] for m, one in runs["cold"].items()} == {
        "zeroshot": True,
        "coop": True,
        "vpt": False,
    }


@pytest.mark.slow
def test_the_table_lists_the_parts_without_results(results):
    assert read(results, "all")["missing"] == ["startup", "many_records"]
    assert "Not measured here: startup, many_records." in (results / "all.md").read_text()


def test_a_quick_run_never_replaces_committed_results():
    done = run_all("--quick")
    assert done.returncode == 1
    assert "--quick measures nothing" in done.stderr
