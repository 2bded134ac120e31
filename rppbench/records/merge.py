"""Joining folders of records: nothing that was measured is ever overwritten."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

from rppbench.files.atomic import Problem
from rppbench.records.confidence import with_confidences
from rppbench.records.record import Record, other_contents
from rppbench.records.store import Store

Begin = Callable[[str], Callable[[int, int], object]]
"""Begins a step of this name; returns the callback for its progress, (done, total)."""


def _silent(name: str) -> Callable[[int, int], object]:
    return lambda done, total: None


@dataclass
class Merged:
    """The outcome of a merge: counts, conflicts and problems."""

    added: int = 0
    replaced: int = 0
    """Failures that a number has replaced."""
    known: int = 0
    """Records that add nothing: the same number, or a failure of a cell that has a record."""
    conflicts: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """Files and lines in the other folders that are not records."""


@dataclass(frozen=True)
class Arriving:
    """A record to copy, and its origin."""

    record: Record
    place: str
    """For messages."""
    store: Store | None = None
    """Where the confidences of its images are, if it was read from there."""

    def complete(self, problems: list[Problem]) -> Record:
        """The record with its confidences; without them, and a problem, where they are damaged."""
        if self.store is None:
            return self.record
        record = with_confidences(self.store.root, self.record)
        if isinstance(record, Record):
            return record
        problems.append(record)
        return self.record


def merge(into: Store, others: Iterable[Store], begin_step: Begin = _silent) -> Merged:
    """Copy to `into` the records of `others` that it lacks, in the form that it uses.

    The form is JSON Lines if `into` has any, else one file per cell. A number replaces a failure,
    as when the cell is run again. Two different numbers of one cell are a conflict: `into` keeps
    its own; so are two records that were computed from different data, whatever their numbers.
    Learned prompts are not copied.
    """
    result = Merged()
    arriving: list[Arriving] = []
    for other in others:
        stored, problems = other.stored(begin_step(f"read records of {other.root}"))
        result.problems += problems
        arriving += [Arriving(one.record, one.place, other) for one in stored]
    merge_records(into, arriving, result, report=begin_step("merge records"))
    return result


def merge_records(
    into: Store,
    arriving: Collection[Arriving],
    result: Merged,
    lines: bool | None = None,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> None:
    """Copy records as `merge` does, and count them in `result`.

    `lines` chooses the form: True for JSON Lines,
    False for files, None for the form that `into` uses.
    """
    if lines is None:
        lines = into.has_lines()
    with into.locked() if lines else nullcontext():
        known = {one.record.key: (one.record, one.place) for one in into.stored()[0]}
        changed: dict[str, Record] = {}
        for done, one in enumerate(arriving, 1):
            report(done, len(arriving))
            record, theirs = one.record, one.place
            here, ours = known.get(record.key, (None, ""))
            if here is None and (obstacle := into.in_the_way(record.cell)):
                # It is not overwritten: a damaged record may still be worth a look.
                result.conflicts.append(
                    f"{obstacle.place}: is not a record, but occupies the place of one"
                )
            elif here is None:
                result.added += 1
                changed[record.key] = one.complete(result.problems)
                known[record.key] = record, theirs
            elif here.status == record.status == "ok" and (why := _difference(here, record)):
                result.conflicts.append(f"{ours}: {why} in {theirs}")
            elif here.status != "ok" and record.status == "ok":
                result.replaced += 1
                changed[record.key] = one.complete(result.problems)
                known[record.key] = record, theirs
            else:
                result.known += 1
        if lines:
            into.write_lines(changed.values())
        else:
            for record in changed.values():
                into.write(record)


def _difference(here: Record, there: Record) -> str:
    """How the data or the numbers of one cell differ; '' if they are equal."""
    if parts := other_contents(here.contents, there.contents):
        return f"computed from other data ({', '.join(parts)}) than the record"
    try:
        if _numbers(here) == _numbers(there):
            return ""
    except ValueError as error:
        return f"outcomes cannot be read ({error}), here or"
    ours, theirs = here.score(), there.score()
    if ours is None or theirs is None or ours.value == theirs.value:
        return "the same main number, but other outcomes or metrics"
    return f"{ours.metric} is {ours.value:.2f} here, {theirs.value:.2f}"


def _numbers(record: Record) -> list[tuple[object, ...]]:
    """All scores, with outcomes unpacked because builds of zlib may compress them differently."""
    return [
        (score.metric, score.value, score.correct, score.total, score.outcomes())
        for score in record.scores
    ]


SLACK = 1e-9
"""Tolerance between a value and its counts, in percentage points: rounding of floats only."""


def publish(
    source: Store,
    into: Store,
    failed: bool = False,
    only: Collection[str] | None = None,
    begin_step: Begin = _silent,
) -> tuple[Merged, int, int]:
    """Copy to the JSON Lines of `into` the valid records that it lacks.

    Returns the outcome and the numbers of failures and of marked records (`Cell.marks`) that were
    not copied. Failures are copied only if `failed` is true, records of partial data or of a quick
    look never; `only` restricts the copy to records with these keys. Records that are
    damaged, contradict themselves or are in conflict stay where they are and are reported.
    """
    result = Merged()
    stored, damaged = source.stored(begin_step(f"read records of {source.root}"))
    result.problems += damaged
    arriving: list[Arriving] = []
    failures_left = marked = 0
    report = begin_step(f"check records of {source.root}")
    for done, one in enumerate(stored, 1):
        report(done, len(stored))
        record = one.record
        if only is not None and record.key not in only:
            continue
        if record.cell.marks:
            marked += 1
            continue
        wrong = next(faults(record), None)
        if wrong is not None:
            result.problems.append(Problem(one.path, wrong, one.line))
        elif record.status != "ok" and not failed:
            failures_left += 1
        else:
            arriving.append(Arriving(record, one.place, source))
    merge_records(into, arriving, result, lines=True)
    return result, failures_left, marked


def faults(record: Record) -> Iterator[str]:
    """The contradictions within a record that is not damaged, as messages."""
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
        try:
            outcomes = score.outcomes()
            score.groups()
        except ValueError as error:
            yield f"{score.metric}: outcomes cannot be read: {error}"
            continue
        if outcomes is not None and sum(outcomes) != correct:
            yield f"{score.metric}: {sum(outcomes)} outcomes are right, but {correct} are counted"
