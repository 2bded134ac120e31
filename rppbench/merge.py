"""Joining folders of records: nothing that was measured is ever overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rppbench.files.atomic import Problem
from rppbench.outcomes import unpack_outcomes
from rppbench.records import Record, Score
from rppbench.store import Store


@dataclass
class Merged:
    """What came of it."""

    added: int = 0
    replaced: int = 0
    """Failures in whose place a number came."""
    known: int = 0
    """Had the same number already, or one where the other folder has a failure."""
    conflicts: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """Files in the other folders that are no records."""


def merge(into: Store, others: Iterable[Store]) -> Merged:
    """Copy to `into` the records of the others that it has not.

    A number takes the place of a failure, as when the cell is run again. Two numbers of one cell
    that differ are a conflict: `into` keeps its own. Learned prompts are not copied.
    """
    result = Merged()
    for other in others:
        records, problems = other.all()
        result.problems += problems
        for record in records:
            merge_record(into, record, str(other.record_path(record.cell)), result)
    return result


def merge_record(into: Store, record: Record, theirs: str, result: Merged) -> None:
    """Copy one record as `merge` does, and count it; `theirs` says where it is from."""
    place = into.record_path(record.cell)
    here = into.read(record.cell)
    if here is None:
        if place.exists():  # what is damaged may still be worth a look
            result.conflicts.append(f"{place}: is not a record, but in the way of one")
            return
        into.write(record)
        result.added += 1
    elif here.status == record.status == "ok" and _numbers(here) != _numbers(record):
        result.conflicts.append(f"{place}: {_difference(here, record)} in {theirs}")
    elif here.status != "ok" and record.status == "ok":
        into.write(record)
        result.replaced += 1
    else:
        result.known += 1


def _numbers(record: Record) -> list[tuple[object, ...]]:
    """All scores; outcomes unpacked, for builds of zlib compress differently."""
    return [
        (score.metric, score.value, score.correct, score.total, _outcomes(score))
        for score in record.scores
    ]


def _outcomes(score: Score) -> list[bool] | None:
    if score.outcomes is None or score.total is None:
        return None
    return unpack_outcomes(score.outcomes, score.total)


def _difference(here: Record, there: Record) -> str:
    ours, theirs = here.score(), there.score()
    if ours is None or theirs is None or ours.value == theirs.value:
        return "the same main number of other outcomes or metrics"
    return f"{ours.metric} is {ours.value:.2f} here, {theirs.value:.2f}"
