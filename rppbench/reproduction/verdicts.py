"""Measured beside published: the difference, the interval and a verdict for each number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rppbench.leaderboard.published import PublishedNumber
from rppbench.leaderboard.published_check import last_digit
from rppbench.leaderboard.published_match import measured
from rppbench.records.cell import Cell
from rppbench.records.record import Record
from rppbench.reproduction.cards import Goal
from rppbench.reproduction.targets import Target
from rppbench.stats.intervals import Interval, interval

Verdict = Literal["reproduced", "within the interval", "differs", "incomplete", "not run"]
MEANINGS: Mapping[Verdict, str] = {
    "reproduced": "the difference is at most the tolerance",
    "within the interval": "the difference is larger, but the published number is in the interval "
    "of the seeds: more seeds would tell",
    "differs": "the difference is larger than the tolerance and than the interval",
    "incomplete": "a cell or a seed has no number",
    "not run": "nothing here measures the same; the reason is given",
}


@dataclass(frozen=True)
class Outcome:
    """A published number with what was measured for it."""

    goal: Goal
    verdict: Verdict
    measured: Interval | None = None
    """Mean over seeds; None without a complete seed."""
    seeds: int = 0
    """Seeds with all their cells."""
    expected: int = 0
    reason: str = ""
    """Why the verdict is 'not run' or 'incomplete'."""

    @property
    def number(self) -> PublishedNumber:
        return self.goal.number

    @property
    def difference(self) -> float | None:
        """Measured minus published."""
        return None if self.measured is None else self.measured.mean - float(self.number.value)


def outcomes(chosen: Iterable[Target], records: Mapping[str, Record]) -> list[Outcome]:
    """The outcome of each target, by the records of its cells; `records` by key."""
    return [_outcome(target, records) for target in chosen]


def _outcome(target: Target, records: Mapping[str, Record]) -> Outcome:
    if target.reason:
        return Outcome(target.goal, "not run", reason=target.reason)
    metric = target.number.provenance.metric
    values = [
        value
        for of_seed in target.cells.values()
        if (value := measured([records.get(cell.key) for cell in of_seed], metric)) is not None
    ]
    expected = len(target.cells)
    if len(values) < expected:
        part = interval(values) if values else None
        why = _lacking(target.cells.values(), records)
        return Outcome(target.goal, "incomplete", part, len(values), expected, why)
    result = interval(values)
    return Outcome(target.goal, _verdict(target.goal, result), result, len(values), expected)


def _verdict(goal: Goal, result: Interval) -> Verdict:
    """Half of the last printed digit is the rounding of the published number."""
    difference = abs(result.mean - float(goal.number.value))
    if difference <= goal.tolerance + float(last_digit(goal.number.value)) / 2 + 1e-9:
        return "reproduced"
    if result.half_width is not None and difference <= result.half_width:
        return "within the interval"
    return "differs"


def _lacking(seeds: Iterable[Sequence[Cell]], records: Mapping[str, Record]) -> str:
    """The first cell without a number, and why."""
    for of_seed in seeds:
        for cell in of_seed:
            record = records.get(cell.key)
            if record is None:
                return f"{cell.dataset}, seed {cell.seed}: not run yet"
            if record.failure is not None:
                lines = record.failure.message.splitlines() or [""]
                return f"{cell.dataset}, seed {cell.seed}: {record.failure.kind}: {lines[0]}"
    return "a record lacks the metric"


def counts(results: Sequence[Outcome]) -> str:
    """'7 reproduced, 2 differ': the number of each verdict that there is."""
    numbers = Counter(result.verdict for result in results)
    return ", ".join(f"{numbers[verdict]} {verdict}" for verdict in MEANINGS if numbers[verdict])
