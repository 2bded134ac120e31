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
    assert "Pilot: 3 seeds, difference +1.37" in page
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
