"""From the published numbers of a card to cells, or the reason why there are none.

Cells come from the same planner as those of `run`: a number that was measured in another way runs
no cell here. What is tried is the method's usual recipe for the task and the data set, then each
recipe that the number is known to follow, each with and without the number of shots; the first
whose cells train as the source says is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from rppbench.errors import UsageError
from rppbench.leaderboard.published import ITSELF, PublishedNumber
from rppbench.planning.input_digests import InputDigests
from rppbench.planning.plan import cells
from rppbench.planning.request import Request
from rppbench.plugins.options import options
from rppbench.plugins.registry import Registry
from rppbench.records.cell import Cell, recipe_name
from rppbench.reproduction.cards import Card, Goal


@dataclass(frozen=True)
class Target:
    """A published number, and the cells whose scores it is compared with."""

    goal: Goal
    cells: Mapping[int, tuple[Cell, ...]]
    """By seed: one cell for each data set that the number is over."""
    reason: str = ""
    """Why nothing can be run for it; '' if there are cells."""

    @property
    def number(self) -> PublishedNumber:
        return self.goal.number


def targets(
    registry: Registry,
    card: Card,
    goals: Sequence[Goal],
    seeds: Sequence[int],
    precision: str,
    digests: InputDigests,
    warn: Callable[[str], None] = lambda line: None,
) -> list[Target]:
    """A target for each goal, in their order.

    A number of a single seed (`Provenance.seed`) has cells of that seed alone. `warn` is called for
    each remark of the planner.
    """

    @cache
    def planned(request: Request) -> list[Cell]:
        return cells(registry, replace(request, precision=precision), digests, warn)

    return [_target(registry, card, goal, seeds, planned) for goal in goals]


def all_cells(chosen: Sequence[Target]) -> list[Cell]:
    """The cells of all targets, each once."""
    return list(
        dict.fromkeys(
            cell for target in chosen for of_seed in target.cells.values() for cell in of_seed
        )
    )


def _target(
    registry: Registry,
    card: Card,
    goal: Goal,
    seeds: Sequence[int],
    planned: Callable[[Request], list[Cell]],
) -> Target:
    number = goal.number
    if reason := _not_comparable(registry, number):
        return Target(goal, {}, reason)
    own = number.provenance.seed
    wanted = [int(own)] if own.isdecimal() else list(seeds)
    reasons: list[str] = []
    for request in _requests(registry, card, number, wanted):
        try:
            candidates = planned(request)
        except UsageError as error:
            reasons.append(str(error).splitlines()[0])
            continue
        reason = next((r for cell in candidates if (r := _differs(cell, number))), "")
        if not reason:
            return Target(goal, _by_seed(candidates))
        reasons.append(reason)
    return Target(goal, {}, reasons[0] if reasons else "no recipe is known")


def _by_seed(planned: Sequence[Cell]) -> dict[int, tuple[Cell, ...]]:
    by_seed: dict[int, tuple[Cell, ...]] = {}
    for cell in planned:
        by_seed[cell.seed] = (*by_seed.get(cell.seed, ()), cell)
    return by_seed


def _requests(
    registry: Registry, card: Card, number: PublishedNumber, seeds: Sequence[int]
) -> Iterator[Request]:
    """What may train as the source did, the plainest first."""
    method, task = registry.get("methods", number.method), number.provenance.task
    known = options(registry.get("tasks", task))
    of_suite = f"{task}:suite={card.suite}" if "suite" in known else task
    own = [recipe.name for recipe in method.learning.recipes] if method.learning else []
    named = [name for name in number.recipes if name in own]
    shots = number.provenance.shots if "shots" in known and method.learning else ""
    for recipe in (None, *named):
        for text in dict.fromkeys((of_suite, f"{of_suite},shots={shots}" if shots else of_suite)):
            yield Request(
                methods=(number.method,),
                tasks=(text,),
                datasets=number.over or (number.dataset,),
                backbone=number.provenance.backbone,
                seeds=tuple(seeds),
                recipe=recipe,
                settings=tuple((f"method.{name}", value) for name, value in number.options),
            )


def _not_comparable(registry: Registry, number: PublishedNumber) -> str:
    """Why no cell can give this number, whatever the recipe; '' if one may."""
    provenance = number.provenance
    if not number.method or registry.find("methods", number.method) is None:
        return f"no method of rppbench is known to be {number.title!r}"
    task = registry.find("tasks", provenance.task)
    if task is None:
        return f"rppbench has no task {provenance.task!r}"
    if "," in provenance.metric:
        return f"{provenance.metric.partition(',')[0]!r} is a cost, which depends on the machine"
    names = (*number.over, *filter(None, [number.dataset]))
    if not names:
        return "it says no data set"
    for name in names:
        if registry.find("datasets", name) is None:
            return f"rppbench has no data set {name!r}"
    learning = registry.get("methods", number.method).learning
    if learning is not None and not number.recipes:
        return "how it was trained is not known well enough"
    if learning is None and not number.options:
        return "its template is not known"
    return ""


def _differs(cell: Cell, number: PublishedNumber) -> str:
    """In what the cell is trained otherwise than the source says; '' if in nothing known."""
    training, provenance = cell.training, number.provenance
    if training is None:
        return ""
    names = {training.recipe.name, recipe_name(training)}
    if not names & set(number.recipes):
        return f"it was trained by {' or '.join(number.recipes)}, here by {training.recipe.name}"
    if provenance.shots and str(training.shots) != provenance.shots:
        return f"it has {provenance.shots} shots, here {training.shots}"
    source = cell.dataset if provenance.trained_on == ITSELF else provenance.trained_on
    if training.source != source:
        return f"it was trained on {source}, here on {training.source}"
    return ""
