"""`--draw` and `rppbench data draw`: learning from the images that a file lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import RunCommand, refused
from support.toy_plugin import ToyTwo

from rppbench.data.few_shot import draw_digest, few_shot
from rppbench.records.record import Record
from rppbench.records.store import Store

WORDS = ("--model", "tiny", "--method", "context", "--task", "few-shot:suite=toy")
TOY = (*WORDS, "--dataset", "toy-two", "--shots", "2")
PATTERN = "draws/{dataset}/shot_{shots}-seed_{seed}.json"


def records() -> list[Record]:
    return sorted(Store(Path("runs")).all()[0], key=lambda record: record.cell.seed)


def write(run_command: RunCommand, *words: str) -> str:
    status, printed, complaints = run_command(
        "data", "draw", "toy-two", "--shots", "2", "--to", "draws/toy-two", *words
    )
    assert status == 0, complaints
    return printed


def test_our_own_draw_from_a_file_gives_the_same_number_under_another_key(
    run_command: RunCommand,
) -> None:
    assert write(run_command, "--seed", "1", "2").split() == [
        "draws/toy-two/shot_2-seed_1.json",
        "draws/toy-two/shot_2-seed_2.json",
    ]
    assert run_command("run", *TOY, "--seed", "1", "2")[0] == 0
    usual = records()
    status, page, complaints = run_command(
        "run", *TOY, "--seed", "1", "2", "--draw", f"own={PATTERN}"
    )
    assert status == 0, complaints
    every = records()
    assert len(every) == 4
    for one in usual:
        (other,) = (r for r in every if r.cell.seed == one.cell.seed and r.key != one.key)
        assert other.scores == one.scores
        assert other.draw == one.draw
        training = other.cell.training
        assert training is not None
        assert training.draw == "own"
        assert "draw:toy-two" in dict(training.inputs)
    rows = [line for line in page.splitlines() if line.startswith("| Context")]
    assert sorted(row.split(" | ")[0] for row in rows) == ["| Context", "| Context · draw own"]


def test_lines_are_read_too_and_the_run_resumes_without_the_file(run_command: RunCommand) -> None:
    write(run_command, "--form", "jsonl")
    lines = Path("draws/toy-two/shot_2-seed_1_train.jsonl")
    kept = lines.read_text().splitlines()
    lines.write_text("".join(f"{line}\n" for line in reversed(kept)))
    assert run_command("run", *TOY, "--draw", str(lines))[0] == 0
    (record,) = records()
    drawn = few_shot(ToyTwo().samples("train"), 2, 1)
    assert record.draw == draw_digest(drawn[::-1])
    training = record.cell.training
    assert training is not None
    assert training.draw == "file"


def test_a_long_tail_says_so_and_reports_no_missing_images(run_command: RunCommand) -> None:
    status, page, complaints = run_command("run", *TOY, "--draw", "long-tail:2")
    assert status == 0, complaints
    assert "fewer than" not in complaints
    assert "| Context · draw long-tail:2 |" in page
    (record,) = records()
    training = record.cell.training
    assert training is not None
    assert training.draw == "long-tail:2"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        ("long-tail:0", "must be a number of at least 1"),
        ("none.json", "the draw none.json cannot be read"),
        (PATTERN.replace("{seed}", "9"), "has 1 training images of 'red square', not 2"),
    ],
)
def test_a_draw_that_cannot_be_used_is_refused_by_the_plan(
    run_command: RunCommand, draw: str, message: str
) -> None:
    write(run_command)
    content = json.loads(Path("draws/toy-two/shot_2-seed_1.json").read_text())
    content["train"]["data"].pop(0)
    Path("draws/toy-two/shot_2-seed_9.json").write_text(json.dumps(content))
    assert message in refused(run_command, "plan", *TOY, "--draw", draw)


def test_a_form_that_does_not_exist_is_refused(run_command: RunCommand) -> None:
    words = ("data", "draw", "toy-two", "--shots", "2", "--to", "draws", "--form", "csv")
    assert "form of a draw is named 'csv'" in refused(run_command, *words)
