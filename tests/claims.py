"""The claims of `docs/claims.md`, and the numbers that committed files give for each.

python tests/claims.py             # every claim with its numbers
python tests/claims.py --fill      # writes the numbers of the tables of comparisons anew
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from rppbench.comparison.compare import compare
from rppbench.leaderboard.build import build
from rppbench.leaderboard.kept import Kept
from rppbench.leaderboard.number_format import signed_text
from rppbench.leaderboard.tables import SHOTS_OPTION, Table
from rppbench.records.record import Record
from rppbench.records.store import Store

ROOT = Path(__file__).parents[1]
COMPARISONS = "leaderboards/embedded/README.md"
"""The page with tables of comparisons."""
CLAIM = re.compile(r'^- "(?P<words>[^"]+)"(?P<rest>(?:\n  .*)*)', re.MULTILINE)
"""A claim: the words as they stand on the page, and below them where its numbers come from."""
CHECK = re.compile(r"checked by `([^`]+)`")
COMMAND = re.compile(r"measured by `([^`]+)`")
NUMBER = re.compile(r"(?<![\w/.-])[+-]?\d[\d,]*(?:\.\d+)?(?![\w/]|\.\d)")
QUESTION = re.compile(
    r"^\| (?P<task>[\w-]+)(?: \((?P<what>[^)]+)\))?, "
    r"`(?P<first>[^`]+)` against `(?P<second>[^`]+)` \| (?P<numbers>.*) \|$",
    re.MULTILINE,
)
"""A row of a table of comparisons."""


@dataclass(frozen=True)
class Claim:
    """Words of a page with numbers in them."""

    page: str
    words: str
    check: str
    """What computes the numbers from committed files; '' if only the command can."""
    command: str


def claims() -> list[Claim]:
    """All claims of the page, in its order."""
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    result = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        page = part.partition("\n")[0].strip("` ")
        for claim in CLAIM.finditer(part):
            check, command = CHECK.search(claim["rest"]), COMMAND.search(claim["rest"])
            result.append(
                Claim(
                    page,
                    claim["words"],
                    check[1] if check else "",
                    command[1] if command else "",
                )
            )
    return result


def on_one_line(text: str) -> str:
    return " ".join(text.split())


def numbers(words: str) -> list[str]:
    """The numbers in a text as they are written, without a plus sign or commas."""
    return [number.lstrip("+").replace(",", "") for number in NUMBER.findall(words)]


def given(check: str) -> list[float]:
    """The numbers that a check computes."""
    name, *words = re.findall(r"'[^']*'|\S+", check)
    return CHECKS[name](*(word.strip("'") for word in words))


def agrees(written: str, value: float) -> bool:
    """Whether a number is what a value rounds to, at the written digits."""
    digits = len(written.partition(".")[2])
    return f"{value:.{digits}f}" == written or f"{abs(value):.{digits}f}" == written.lstrip("-")


def unexplained(claim: Claim) -> list[str]:
    """Numbers of the words that its check does not give."""
    values = given(claim.check)
    return [n for n in numbers(claim.words) if not any(agrees(n, value) for value in values)]


@cache
def records() -> tuple[Record, ...]:
    """The records of `leaderboards`."""
    return tuple(Store(ROOT / "leaderboards").all()[0])


@cache
def tables() -> tuple[Table, ...]:
    """With the committed statistics, which tests/leaderboard/test_committed.py computes."""
    return tuple(build(records(), kept=Kept(ROOT / "leaderboards")))


def _table(task: str) -> Table:
    """The only table of a task."""
    (table,) = (table for table in tables() if table.task == task)
    return table


def compared(task: str, first: str, second: str, what: str = "") -> list[float]:
    """Both means, the difference and its interval; `what` is '4 shots' or a metric."""
    shots = what.removesuffix(" shots") if what.endswith("shots") else ""
    metric = what if what and not shots else None
    comparisons, _ = compare(records(), first, second, task, metric)
    for one in comparisons:
        if shots and dict(one.table.setting).get(SHOTS_OPTION) != shots:
            continue
        if one.pairs:
            result = one.overall
            if result is None:  # one data set: its first metric, or the one asked for
                pair = one.pairs[0]
                sides = [100 * float(side.mean()) for side in (pair.first, pair.second)]
                return [*sides, pair.difference.mean, pair.difference.low, pair.difference.high]
            change = result.difference
            return [result.first, result.second, change.mean, change.low, change.high]
        paired = one.average_by_seed or one.by_seed[0][1]
        assert paired.difference is not None
        difference = paired.difference
        sides = [fmean(paired.first), fmean(paired.second)]
        return [*sides, difference.mean, difference.low, difference.high]
    raise AssertionError(f"{task} has no such table: {what}")


def filled(page: str) -> str:
    """The text of a page with the computed numbers in its tables of comparisons."""

    def row(found: re.Match[str]) -> str:
        first, second, *change = compared(
            found["task"], found["first"], found["second"], found["what"] or ""
        )
        mean, low, high = map(signed_text, change)
        what = found[0][: found.start("numbers") - found.start()]
        return f"{what}{first:.1f} | {second:.1f} | {mean} | {low} to {high} |"

    return QUESTION.sub(row, page)


def _ablation(name: str, *labels: str) -> list[float]:
    """All numbers of rows of a grid's page: a combination 'length=16', or an effect 'kd/off'."""
    text = (ROOT / "leaderboards/ablations" / f"ablation-{name}.md").read_text(encoding="utf-8")
    values = []
    for label in labels:
        start = "| " + label.replace("/", " | ") + " |"
        (line,) = (line for line in text.splitlines() if line.startswith(start))
        values += [float(number) for number in numbers(line[len(start) :].replace("*", ""))]
    return values


def _result(file: str) -> Any:
    return json.loads((ROOT / "benchmarks/results" / f"{file}.json").read_text(encoding="utf-8"))


def _step(method: str, model: str, classes: str) -> list[float]:
    """Times faster, times less memory, seconds of both sides, and with our images encoded too."""
    (row,) = (
        row
        for row in _result("step")["rows"]
        if (row["method"], row["model"], row["classes"]) == (method, model, int(classes))
    )
    ours, plain, images = (row[side]["cpu"] for side in ("ours", "plain", "plain_images"))
    ratios = [row["faster"], row["less_memory"], plain / (ours + images)]
    return [*ratios, ours, plain, float(classes), float(model.rpartition("-")[2])]


def _steps(*rows: str) -> list[float]:
    return [value for row in rows for value in _step(*row.split("/"))]


def _competent(*cases: str) -> list[float]:
    """How many times rppbench's processor time a competent user's step takes, with its interval.

    A case is METHOD/MODEL/CLASSES.
    """
    rows = {
        f"{row['method']}/{row['model']}/{row['classes']}": row
        for row in _result("competent")["rows"]
    }
    found = [rows[case] for case in cases]
    return [
        value
        for row in found
        for value in (row["ratio"], row["low"], row["high"], float(row["classes"]))
    ]


def _before_after(*methods: str) -> list[float]:
    """Processor time of these methods' steps, as multiples of that before, with intervals."""
    rows = {row["method"]: row for row in _result("before_after")["rows"]}
    return [rows[method][key] for method in methods for key in ("ratio", "low", "high")]


def _familywise() -> list[float]:
    """Least and most tables of equal methods, in percent, in which any pair is separated."""
    result = _result("interval_coverage")
    errors = [error for row in result["familywise"] for error in row["errors"]]
    return [min(errors), max(errors), 13.0]


def _linear() -> list[float]:
    """Two numbers of classes, the plain side's milliseconds a class, and the increase in percent.

    The page names the fewest classes first.
    """
    sentence = re.search(
        r"A class costs the plain text pass (\d+) ms among (\d+), (\d+) ms among (\d+)",
        (ROOT / "benchmarks/results/step.md").read_text(encoding="utf-8"),
    )
    assert sentence is not None
    of_few, few, of_many, many = map(float, sentence.groups())
    return [few, many, of_few, of_many, 100 * (of_many / of_few - 1)]


def _ways(file: str, *ways: str) -> list[float]:
    """How many times rppbench's processor time these ways take, and their number of names."""
    result = _result(file)["ways"]
    return [result[way]["cpu"] / result["ours"]["cpu"] for way in ways]


def _encoding(*names: str) -> list[float]:
    """Times faster and less memory of the shared prefix, for numbers of names."""
    values = [77.0]  # tokens of CLIP's text tower
    for count in names:
        text = (ROOT / f"benchmarks/results/text_encoding-{count}.md").read_text(encoding="utf-8")
        values += [float(count), *map(float, numbers(text.partition("**")[2].partition("**")[0]))]
    return values


def _lvis_masks() -> list[float]:
    """Detections, classes, images, processor seconds and peak GiB of scoring them."""
    result = _result("lvis_masks")
    counts = [float(result[name]) for name in ("detections", "classes", "images")]
    return [*counts, result["cpu"], result["peak"] / 2**30]


def _cells(task: str, *names: str) -> list[float]:
    """The means of rows in columns; `names` are columns and labels of rows, in any order."""
    table = _table(task)
    columns = [at for at, column in enumerate(table.columns) if table.heading(column) in names]
    rows = [row for row in table.rows if row.label in names]
    assert len(columns) + len(rows) == len(names)
    return [row.entries[at].mean or 0.0 for at in columns for row in rows]


def _minutes(task: str, *methods: str) -> list[float]:
    """Minutes of all trainings and tests of these methods under seed 1, and the seed."""
    trained: dict[str, float] = {}
    tested = 0.0
    for record in records():
        cell = record.cell
        if (cell.task.name, cell.seed) == (task, 1) and cell.method.name in methods:
            if cell.training is not None:
                trained[cell.training.key] = record.cost.train_seconds
            tested += record.cost.eval_seconds
    return [(sum(trained.values()) + tested) / 60, 1.0]


def _separated(task: str) -> list[float]:
    """Separated pairs, pairs, rows that differ from the reference, rows compared with it, rows."""
    table = _table(task)
    assert table.ranking is not None
    return [table.ranking.separated, table.ranking.pairs, *_above(task), len(table.rows)]


def _without(task: str, *methods: str) -> list[float]:
    """Separated pairs, pairs and rows of the task's table without these methods."""
    kept = [r for r in records() if r.cell.task.name == task and r.cell.method.name not in methods]
    (table,) = build(kept, kept=Kept(ROOT / "leaderboards"))
    assert table.ranking is not None
    return [table.ranking.separated, table.ranking.pairs, len(table.rows)]


def _above(task: str) -> list[float]:
    """Rows that differ from the reference after correction, and rows compared with it."""
    table = _table(task)
    tests = [row.against for row in table.rows if row.against]
    return [sum(test.corrected < 0.05 for test in tests), len(tests)]


def _seeds(task: str, *labels: str) -> list[float]:
    """The least and the greatest average that one seed of a row gives, for each row."""
    table = _table(task)
    result = []
    for label in labels:
        (row,) = (row for row in table.rows if row.label == label)
        assert row.average is not None
        averages = [value for _, value in row.average.values]
        result += [min(averages), max(averages)]
    return result


def _shots(label: str) -> list[float]:
    """Averages of a row for 1, 2, 4, 8 and 16 shots; the difference at 16 from zero-shot."""
    averages = []
    for table in sorted(
        (table for table in tables() if table.task == "few-shot"), key=lambda t: t.requested_shots
    ):
        (row,) = (row for row in table.rows if row.label == label)
        assert row.average is not None
        assert row.average.mean is not None
        averages.append(row.average.mean)
    against = compared("few-shot", "zeroshot", label, "16 shots")
    return [*averages, *against[2:]]


CHECKS: dict[str, Callable[..., list[float]]] = {
    "compare": compared,
    "steps": _steps,
    "competent": _competent,
    "before_after": _before_after,
    "familywise": _familywise,
    "linear": _linear,
    "ways": _ways,
    "encoding": _encoding,
    "lvis_masks": _lvis_masks,
    "separated": _separated,
    "cells": _cells,
    "minutes": _minutes,
    "above": _above,
    "without": _without,
    "ablation": _ablation,
    "shots": _shots,
    "seeds": _seeds,
}


def main() -> None:
    if sys.argv[1:] == ["--fill"]:
        page = ROOT / COMPARISONS
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for claim in claims():
        values: Sequence[float] = given(claim.check) if claim.check else ()
        shown = ", ".join(f"{value:.4g}" for value in values) or claim.command
        print(f"{claim.page}: {claim.words}\n    {shown}")


if __name__ == "__main__":
    main()
