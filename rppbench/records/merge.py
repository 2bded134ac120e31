"""Joining folders of records: nothing that was measured is ever overwritten."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from rppbench.files.atomic import Problem
from rppbench.records.outcomes import unpack_outcomes
from rppbench.records.record import Record, Score
from rppbench.records.store import Store

Begin = Callable[[str], Callable[[int, int], object]]
"""Called with the name of a step; returns what is called with steps done and all steps."""


def _silent(name: str) -> Callable[[int, int], object]:
    return lambda done, total: None


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


def merge(into: Store, others: Iterable[Store], begin_step: Begin = _silent) -> Merged:
    """Copy to `into` the records of the others that it has not.

    A number takes the place of a failure, as when the cell is run again. Two numbers of one cell
    that differ are a conflict: `into` keeps its own. Learned prompts are not copied.
    """
    result = Merged()
    for other in others:
        records, problems = other.all(begin_step(f"read records of {other.root}"))
        result.problems += problems
        report = begin_step(f"merge records of {other.root}")
        for done, record in enumerate(records, 1):
            merge_record(into, record, str(other.record_path(record.cell)), result)
            report(done, len(records))
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


SLACK = 1e-9
"""Percentage points between a value and its own counts: rounding of floats only."""


def publish(
    source: Store,
    into: Store,
    failed: bool = False,
    only: Collection[str] | None = None,
    begin_step: Begin = _silent,
) -> tuple[Merged, int]:
    """Copy the sound records that `into` lacks; what came of it, and how many failures stayed.

    Records that failed are copied if `failed` is true, and of all those with keys in `only`. What
    is damaged, contradicts itself or is in conflict stays where it is and is named.
    """
    result = Merged()
    records, damaged = source.all(begin_step(f"read records of {source.root}"))
    result.problems += damaged
    left = 0
    report = begin_step(f"publish records of {source.root}")
    for done, record in enumerate(records, 1):
        report(done, len(records))
        if only is not None and record.key not in only:
            continue
        wrong = next(faults(record), None)
        place = source.record_path(record.cell)
        if wrong is not None:
            result.problems.append(Problem(place, wrong))
        elif record.status != "ok" and not failed:
            left += 1
        else:
            merge_record(into, record, str(place), result)
    return result, left


def faults(record: Record) -> Iterator[str]:
    """In what a whole record contradicts itself."""
    if record.status == "ok" and record.score() is None:
        yield f"has no score of its main metric {record.metric!r}"
    for score in record.scores:
        correct, total = score.correct, score.total
        if correct is None or total is None:
            continue
        if not 0 <= correct <= total or not total:
            yield f"{score.metric}: {correct} of {total} images are right"
        elif abs(score.value - 100 * correct / total) > SLACK:
            yield f"{score.metric} is {score.value}, but {correct} of {total} images are right"
        if score.outcomes is not None:
            try:
                right = sum(unpack_outcomes(score.outcomes, total))
            except ValueError as error:
                yield f"{score.metric}: outcomes cannot be read: {error}"
                continue
            if right != correct:
                yield f"{score.metric}: {right} outcomes are right, but {correct} are counted"
