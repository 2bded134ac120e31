"""The estimate behind a comparison of two rows, for the question how many seeds it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rppbench.comparison.by_image import on_common_seeds
from rppbench.comparison.compare import Comparison, between
from rppbench.leaderboard.build import build_with_variants
from rppbench.leaderboard.comparability import setting
from rppbench.leaderboard.kept import Without
from rppbench.leaderboard.variants import Variant
from rppbench.records.cell import Cell, recipe_name
from rppbench.records.record import Record
from rppbench.stats.two_level import Estimate, estimate, estimate_over_seeds


@dataclass(frozen=True)
class Pilot:
    """A comparison that was made, as the pilot of a larger one."""

    seeds: tuple[int, ...]
    estimate: Estimate | None
    """Of the average over the data sets (of the only column); fractions, not percent. None where
    one seed, and no outcomes of images, say nothing."""


def pilot(comparison: Comparison) -> Pilot:
    """The pilot that a comparison is."""
    if comparison.pairs:
        pairs = comparison.pairs[:1] if comparison.table.by_metric else comparison.pairs
        common = on_common_seeds(pairs)
        if not common:
            return Pilot((), None)
        return Pilot(common[0].seeds, estimate([pair.part() for pair in common]))
    scores = comparison.average_by_seed or (
        comparison.by_seed[0][1] if comparison.by_seed else None
    )
    if scores is None or len(scores.seeds) < 2:
        return Pilot(scores.seeds if scores else (), None)
    changes = (np.array(scores.second) - np.array(scores.first)) / 100
    return Pilot(scores.seeds, estimate_over_seeds(changes))


@dataclass(frozen=True)
class PlannedPairs:
    """All pairs of planned rows that a table of records has."""

    comparisons: tuple[Comparison, ...]
    other_recipes: tuple[tuple[str, str], ...]
    """(label, recipe) of the rows that were learned by another recipe than planned"""


def of_planned(records: Iterable[Record], cells: Sequence[Cell]) -> list[PlannedPairs]:
    """The pairs of planned rows, for each table that has two of them.

    A record is of a planned row if task, method and recipe are the same; seeds and data sets may be
    others, and the recipe too where none is the same. Tables of the planned setting are preferred;
    if a task has none, those of other settings (another backbone, another suite) serve.
    """
    planned = {_row(cell): cell for cell in cells}.values()
    settings = {setting(cell) for cell in cells}
    tasks = {cell.task.name for cell in cells}
    of_task: dict[str, list[tuple[bool, PlannedPairs]]] = {}
    tables = build_with_variants((r for r in records if r.cell.task.name in tasks), kept=Without())
    for built in tables:
        rows = [row for cell in planned if (row := _variant(built.variants, cell))]
        made = tuple(between(built.table, *pair) for pair in combinations(rows, 2))
        if made:
            others = tuple(
                (row.label, recipe_name(training))
                for row in rows
                if (training := row.newest.cell.training)
                and all(_row(row.newest.cell) != _row(cell) for cell in planned)
            )
            same = setting(rows[0].newest.cell) in settings
            of_task.setdefault(built.table.task, []).append((same, PlannedPairs(made, others)))
    result = []
    for of_one in of_task.values():
        exact = any(same for same, _ in of_one)
        result += [pairs for same, pairs in of_one if same or not exact]
    return result


def _variant(variants: Sequence[Variant], cell: Cell) -> Variant | None:
    """The row of a planned cell: with its recipe, or else the only one with its method."""
    exact = [variant for variant in variants if _row(variant.newest.cell) == _row(cell)]
    fitting = exact or [v for v in variants if _row(v.newest.cell)[:-1] == _row(cell)[:-1]]
    return fitting[0] if len(fitting) == 1 else None


def _row(cell: Cell) -> tuple[object, ...]:
    """What a planned cell and a record of its row have in common; the recipe last."""
    training = cell.training
    recipe = recipe_name(training) if training else ""
    # The options of a protocol's recipes differ by data set.
    alone = not training or recipe == training.recipe.name
    method = bytes(cell.method.json) if alone else cell.method.name
    return (cell.task.name, method, bool(training and training.start), recipe)
