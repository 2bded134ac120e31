"""Records that are good enough to be shown to others."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rppbench.files.atomic import Problem
from rppbench.merge import Merged, merge_record
from rppbench.outcomes import unpack_outcomes
from rppbench.records import Record
from rppbench.store import Store

SLACK = 1e-9
"""Percentage points between a value and its own counts: rounding of floats only."""


def publish(
    source: Store, into: Store, failed: bool = False, only: Collection[str] | None = None
) -> tuple[Merged, int]:
    """Copy the sound records that `into` lacks; what came of it, and how many failures stayed.

    Records that failed are copied if `failed` is true, and of all those with keys in `only`. What
    is damaged, contradicts itself or is in conflict stays where it is and is named.
    """
    result = Merged()
    records, damaged = source.all()
    result.problems += damaged
    left = 0
    for record in records:
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
