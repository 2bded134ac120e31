"""Ablation grids: combinations of varied values, each with its cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from random import Random

from rppbench.contracts.recipe import FALLBACK
from rppbench.errors import UsageError, unknown
from rppbench.planning.input_digests import InputDigests
from rppbench.planning.plan import SCOPES, cells
from rppbench.planning.request import Request, TooManyCellsError
from rppbench.plugins.options import options, parse_value
from rppbench.plugins.registry import Registry
from rppbench.random_streams import seed_of
from rppbench.records.cell import Cell, Option
from rppbench.records.grid import Combination, Grid, Place

Values = Mapping[str, Sequence[str]]
MOST_DRAWN = 1_000_000
"""Most combinations that a budget is drawn from."""
TEACHER = "teacher"
"""The only flag that can be varied like an option: distillation depends on the teacher."""


@dataclass(frozen=True)
class Design:
    """A grid and the cells to run for it."""

    grid: Grid
    cells: tuple[Cell, ...]
    """The cells of all combinations, each once."""
    names: Mapping[str, str]
    """The label of each cell's combination, by the cell's key."""


def design(
    registry: Registry,
    request: Request,
    varied: Sequence[Values],
    baseline: Mapping[str, str],
    *,
    one_at_a_time: bool = False,
    budget: int | None = None,
    name: str = "",
    input_digests: InputDigests | None = None,
    warn: Callable[[str], None] = lambda line: None,
    most: float = math.inf,
) -> Design:
    """The product of the varied values, or with `one_at_a_time` single changes of the baseline.

    Several mappings are sub-grids, which are united: an option that one of them does not vary has
    its baseline value there. The baseline is part of every grid; options that `baseline` does not
    name take their first value. Of more combinations than the `budget` the baseline is kept and the
    others are drawn at random, always in the same order. Designs that share `input_digests` read
    data and weights once. `warn` gets each remark of the planner once (`plan.cells`).
    Raises UsageError for unknown options, values of the wrong type, and requests of more than one
    method or task; TooManyCellsError for more than `most` cells, before the product is built.
    """
    _check(request, varied)
    defaults = _defaults(registry, request)
    grids = [
        {factor: _spelled(factor, values, defaults) for factor, values in values_of.items()}
        for values_of in varied
    ]
    base: dict[str, str] = {}
    for values_of in grids:
        for factor, values in values_of.items():
            base.setdefault(factor, values[0])
    _check_apart(registry, list(base), request)
    for factor, value in baseline.items():
        if factor not in base:
            raise unknown("varied option is named", factor, base, "varied options")
        (base[factor],) = _spelled(factor, [value], defaults)
    lengths = [[len(values) for values in values_of.values()] for values_of in grids]
    count = 1 + sum(map(sum if one_at_a_time else math.prod, lengths))
    if min(count, budget or count) > most or count > MOST_DRAWN:
        raise TooManyCellsError(count)
    combinations = [base]
    for values_of in grids:
        combinations += _singles(base, values_of) if one_at_a_time else _products(base, values_of)
    notes: dict[str, None] = {}
    name = name or _name(request, list(base))
    if budget is not None:
        combinations = _within(combinations, budget)
    digests = input_digests or InputDigests(registry)
    planned = _planned(registry, request, combinations, name, digests, notes, most)
    for line in notes:
        warn(line)
    return planned


def _within(combinations: Sequence[dict[str, str]], budget: int) -> list[dict[str, str]]:
    """The first combination and as many others, drawn without replacement, as the budget allows.

    A larger budget continues the draw.
    """
    first, *others = map(dict, dict.fromkeys(tuple(one.items()) for one in combinations))
    if len(others) < budget:
        return [first, *others]
    Random(seed_of("tune", *first, len(others))).shuffle(others)
    return [first, *others[: budget - 1]]


def _name(request: Request, factors: Sequence[str]) -> str:
    method, _, _ = request.methods[0].partition(":")
    return "-".join([method, *factors])


def _check(request: Request, varied: Sequence[Values]) -> None:
    for what, chosen in (("method", request.methods), ("task", request.tasks)):
        if len(chosen) != 1:
            raise UsageError(
                f"an ablation takes one {what}, not {len(chosen)}: {', '.join(chosen)}"
            )
    if len(request.shots) > 1:
        raise UsageError("an ablation has one --shots; to vary them: --vary shots=4,16")
    if not any(varied):
        raise UsageError("say what to vary: --vary OPTION=VALUE,VALUE")


def _check_apart(registry: Registry, factors: Sequence[str], request: Request) -> None:
    """UsageError for a varied option that is also set, or varied under two names."""
    given = [key for key, _ in request.settings]
    given += [f"method.{key}" for key in registry.choose("methods", request.methods[0])[1]]
    given += [f"task.{key}" for key in registry.choose("tasks", request.tasks[0])[1]]
    given += ["shots"] if request.shots else []
    given += [TEACHER] if request.teacher else []
    for index, factor in enumerate(factors):
        for other in [*given, *factors[:index]]:
            scopes = {key.rpartition(".")[0] for key in (factor, other)}
            if factor.split(".")[-1] == other.split(".")[-1] and (len(scopes) == 1 or "" in scopes):
                raise UsageError(f"{factor!r} is varied; it cannot be given as {other!r} too")


def _defaults(registry: Registry, request: Request) -> dict[str, Option]:
    """The default of every option that can be varied, by each of its names."""
    method, _ = registry.choose("methods", request.methods[0])
    task, _ = registry.choose("tasks", request.tasks[0])
    defaults: dict[str, Option] = {}
    of_scopes = (
        options(registry.get("methods", method)),
        options(registry.get("tasks", task)),
        FALLBACK.values(),  # every recipe has the same options
    )
    for scope, of_scope in zip(SCOPES, of_scopes, strict=True):
        for option, value in of_scope.items():
            defaults.setdefault(option, value)
            defaults[f"{scope}.{option}"] = value
    return {**defaults, TEACHER: ""}


def _spelled(factor: str, values: Sequence[str], defaults: Mapping[str, Option]) -> list[str]:
    """The distinct values, each in one spelling: 'yes' and 'on' are the same."""
    if factor not in defaults:
        names = [name for name in defaults if ("." in name) == ("." in factor)]
        raise unknown("option to vary is named", factor, names, "options")
    if not values:
        raise UsageError(f"no values of {factor!r} to vary")
    return list(dict.fromkeys(_spelled_value(factor, value, defaults[factor]) for value in values))


def _spelled_value(factor: str, text: str, default: Option) -> str:
    value = parse_value(factor, text, default)
    return ("on" if value else "off") if isinstance(value, bool) else str(value)  # all digits


def _products(base: Mapping[str, str], values: Values) -> Iterator[dict[str, str]]:
    for chosen in product(*values.values()):
        yield {**base, **dict(zip(values, chosen, strict=True))}


def _singles(base: Mapping[str, str], values: Values) -> Iterator[dict[str, str]]:
    for factor, levels in values.items():
        for level in levels:
            yield {**base, factor: level}


def _planned(
    registry: Registry,
    request: Request,
    all_levels: Sequence[Mapping[str, str]],
    name: str,
    input_digests: InputDigests,
    notes: dict[str, None],
    most: float,
) -> Design:
    """The grid of the given levels; remarks of the planner are added to `notes`."""
    by_key: dict[str, Cell] = {}
    combinations: list[Combination] = []
    for levels in dict.fromkeys(tuple(levels.items()) for levels in all_levels):
        varied = replace(
            request,
            settings=(*request.settings, *(pair for pair in levels if pair[0] != TEACHER)),
            teacher=dict(levels).get(TEACHER, request.teacher),
        )
        planned = cells(registry, varied, input_digests, notes.setdefault, most=most)
        if len(all_levels) * len(planned) > most:
            raise TooManyCellsError(len(all_levels) * len(planned))
        by_key |= {cell.key: cell for cell in planned}
        places = tuple(Place(cell.key, cell.dataset, cell.seed) for cell in planned)
        combinations.append(Combination(levels, places))
    kept = _kept(combinations)
    grid = Grid(
        name,
        tuple(c for c in combinations if kept[c.cells] is c),
        tuple((c.label, kept[c.cells].label) for c in combinations if kept[c.cells] is not c),
    )
    names = {place.key: c.label for c in grid.combinations for place in c.cells}
    return Design(grid, tuple(by_key.values()), names)


def _kept(combinations: Sequence[Combination]) -> dict[tuple[Place, ...], Combination]:
    """The combination that is kept for each set of cells.

    Several may have the same cells, such as those that differ in the teacher where nothing is
    distilled. The one most like the baseline is kept, so that it has a partner in as many main
    effects as possible.
    """

    def changes(combination: Combination) -> int:
        return len(set(combination.levels) - set(combinations[0].levels))

    kept: dict[tuple[Place, ...], Combination] = {}
    for combination in sorted(combinations, key=changes):
        kept.setdefault(combination.cells, combination)
    return kept
