"""What a task must give: scores that a table can print and that add up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice

from rppbench.errors import ContractError, DivergedError
from rppbench.records.record import Score

MOST_SCORES = 10_000
"""More scores than any task has: an endless list is a mistake."""


def checked_scores(
    task: str, given: Iterable[Score], evaluated: Sequence[int]
) -> tuple[Score, ...]:
    """The scores of a cell.

    `evaluated` are the numbers of images of each evaluation that the task asked for; () where it
    counted other things. ContractError names the task and what is wrong; DivergedError if a score
    is not finite.
    """
    who = f"task {task!r}"
    try:
        scores = tuple(islice(given, MOST_SCORES + 1))
    except TypeError as error:
        raise ContractError(f"{who} gives no list of scores: {error}") from error
    if not scores:
        raise ContractError(f"{who} gives no score")
    if len(scores) > MOST_SCORES:
        raise ContractError(f"{who} gives more than {MOST_SCORES:,} scores")
    names: set[str] = set()
    for score in scores:
        if not isinstance(score, Score):
            raise ContractError(f"{who} gives {type(score).__name__} in place of a score")
        if type(score.metric) is not str or not score.metric or not score.metric.isprintable():
            raise ContractError(f"{who} gives a score whose metric is {score.metric!r:.60}")
        if score.metric in names:
            raise ContractError(f"{who} gives two scores named {score.metric!r}")
        names.add(score.metric)
        _check(f"{who}: the score {score.metric!r}", score, _sums(evaluated))
    return scores


def _check(what: str, score: Score, totals: set[int]) -> None:
    value, correct, total = score.value, score.correct, score.total
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ContractError(f"{what} is {value!r:.60}, not a number")
    if not math.isfinite(value):
        raise DivergedError(f"the score {score.metric!r} became {value}")
    if not score.metric.endswith(("loss", "loss_gap")) and not 0 <= value <= 100 + 1e-9:
        raise ContractError(f"{what} is {value:g}, which is not a percentage")
    for name, count in (("correct", correct), ("total", total)):
        if count is not None and (type(count) is not int or count < 0):
            raise ContractError(f"{what} has {name} = {count!r:.60}, not a number of images")
    sure = score.confidence
    if sure is not None and (type(sure) is not bytes or len(sure) != 4 * (total or 0)):
        raise ContractError(f"{what} has confidences that are not one float32 for each image")
    if correct is None:
        return
    if not total or correct > total:
        raise ContractError(f"{what} has {correct} correct of {total or 0}")
    if abs(value - 100 * correct / total) > 1e-6:
        raise ContractError(f"{what} is {value:g}, but {correct} of {total} are correct")
    if totals and total not in totals:
        asked = ", ".join(map(str, sorted(totals)[:5]))
        raise ContractError(f"{what} counts {total} images, but {asked} were classified")
    if score.per_image is not None:
        try:
            right = sum(score.per_image.outcomes(total))
            score.per_image.groups(total)
        except Exception as error:
            raise ContractError(f"{what} has invalid outcomes: {error}") from error
        if right != correct:
            raise ContractError(f"{what} has {correct} correct, but {right} in its outcomes")


def _sums(evaluated: Sequence[int]) -> set[int]:
    """All numbers of images that a score may count: those of one evaluation or of several."""
    sums = {0}
    for count in evaluated[:16]:
        sums |= {one + count for one in sums}
    return sums - {0}
