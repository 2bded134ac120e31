"""`rppbench power` on committed records: the pilot, the table, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from rppbench import cli

FOLDER = str(Path(__file__).parents[2] / "leaderboards")


def test_it_says_how_many_seeds_show_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["power", "zeroshot", "rpp", "--task", "cross-dataset", "--output", FOLDER]
    assert cli.main([*words, "--difference", "2"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("# Cross-dataset transfer: Zero-shot CLIP and RPP-SAPL")
    assert "Pilot: 5 seeds, difference +5.98" in page
    assert "| Seeds | Probability to show 2 |" in page
    assert "seeds show a difference of 2 in four of five runs (p < 0.05)" in page
    assert cli.main([*words, "--difference", "0.05", "--pairs", "78"]) == 0
    assert "Not even 200 seeds" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--difference", "0"], ["--difference", "nan"], ["--pairs", "0"]]
)
def test_impossible_questions_are_refused(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["power", "zeroshot", "rpp", "--output", FOLDER, *flags]) == 2
    assert flags[0] in capsys.readouterr().err


PLAN = ["plan", "--task", "cross-dataset", "--dataset", "demo-2-animals", "demo-2-plants"]


@pytest.fixture(scope="module")
def two_sets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the committed records of two data sets."""
    folder = tmp_path_factory.mktemp("two-sets")
    (folder / "records" / "cross-dataset").mkdir(parents=True)
    for name in ("demo-2-animals", "demo-2-plants"):
        place = Path("records") / "cross-dataset" / f"{name}.jsonl"
        (folder / place).write_bytes((Path(FOLDER) / place).read_bytes())
    return str(folder)


def test_plan_says_how_many_seeds_show_a_difference(
    two_sets: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*PLAN, "--method", "zeroshot", "rpp", "vpt", "--seed", "1", "2", "3"]
    assert cli.main([*words, "--output", two_sets, "--show-difference", "20"]) == 0
    page = capsys.readouterr().out.partition("# Seeds that show a difference of 20: ")[2]
    assert page.startswith("Cross-dataset transfer\n")
    assert "corrected for 3 pairs" in page
    # The same numbers as those of `power` for one of the pairs, with the same correction.
    asked = ["power", "rpp", "vpt", "--task", "cross-dataset", "--output", two_sets]
    assert cli.main([*asked, "--difference", "20", "--pairs", "3"]) == 0
    alone = capsys.readouterr().out
    needed = alone.partition("At least ")[2].split()[0]
    share = alone.partition("| 3 | ")[2].split()[0]
    assert f"| RPP-SAPL and VPT | 1, 2, 3, 4, 5 | {needed} | {share} |" in page


def test_plan_takes_the_spread_from_a_pilot(
    two_sets: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*PLAN[:3], "--method", "zeroshot", "rpp", "--output", str(tmp_path)]
    words += ["--set", "recipe.lr=0.01"]
    assert cli.main([*words, "--show-difference", "20"]) == 0
    shown = capsys.readouterr()
    assert "Seeds that show" not in shown.out
    assert "no records of two of these rows" in shown.err
    assert cli.main([*words, "--show-difference", "20", "--pilot", two_sets]) == 0
    page = capsys.readouterr().out
    assert "| Zero-shot CLIP and RPP-SAPL | 1, 2, 3, 4, 5 |" in page
    assert "Learned by other recipes than planned: RPP-SAPL: rpp-demo-2-1." in page


@pytest.mark.parametrize("flags", [["--show-difference", "0"], ["--pilot", FOLDER]])
def test_plan_refuses_impossible_questions(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*PLAN, "--method", "zeroshot", *flags]) == 2
    assert flags[0] in capsys.readouterr().err
