"""What rows of a table measured, beside what papers print for the same.

The same is: method with its options, backbone, recipe, source, shots, task, data set and metric.
Precision is not: papers of this family ran in fp16. A number that quotes another is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, harmonic_mean

from rppbench.leaderboard.published import ITSELF, Figure, figures
from rppbench.leaderboard.tables import Reported
from rppbench.leaderboard.variants import Variant
from rppbench.records.cell import Cell, recipe_name, spell
from rppbench.stats.intervals import interval

OF_AVERAGES = "harmonic mean of the averages"
"""Papers print this one; a table's average is over the harmonic means of its data sets."""


def reported(variants: Sequence[Variant], known: Iterable[Figure] | None = None) -> list[Reported]:
    """A line for every published number (default: those of `figures`) that a row measured too."""
    cells = [variant.newest.cell for variant in variants]
    if known is None:
        # Papers name weights: the files are not read for worlds that no paper knows.
        known = figures() if any("/" in cell.backbone for cell in cells) else ()
    first = [figure for figure in known if not figure.quotes and not figure.facts.seed]
    return [
        line
        for variant in variants
        for figure in first
        if _same(variant, figure)
        for line in _line(variant, figure)
    ]


def _line(variant: Variant, figure: Figure) -> Iterator[Reported]:
    datasets = figure.over or (figure.dataset,)
    values = [
        value
        for seed in variant.seeds
        if (value := _measured(variant, datasets, figure.facts.metric, seed)) is not None
    ]
    if not values:
        return
    found = interval(values)
    value = float(figure.value)
    inside = None if found.half_width is None else abs(value - found.mean) <= found.half_width
    titles = {r.cell.dataset: r.labels.get("dataset") or r.cell.dataset for r in variant.records}
    via = f", read in {figure.facts.via}" if figure.facts.via else ""
    yield Reported(
        row=variant.label,
        what=f"Average of {len(datasets)}" if figure.over else titles[figure.dataset],
        metric=figure.facts.metric,
        measured=found,
        expected=len(variant.seeds),
        printed=str(figure.value),
        difference=found.mean - value,
        inside=inside,
        kind=figure.facts.kind,
        source=f"{figure.origin}, {figure.place}{via}",
    )


def _measured(variant: Variant, datasets: Sequence[str], metric: str, seed: int) -> float | None:
    """The mean over the data sets; None unless all have it under this seed."""
    if metric == OF_AVERAGES:
        base, new = (_measured(variant, datasets, half, seed) for half in ("base", "new"))
        return None if base is None or new is None else harmonic_mean([base, new])
    records = [variant.record(dataset, seed) for dataset in datasets]
    scores = [record.score(metric) for record in records if record is not None]
    found = [score.value for score in scores if score is not None]
    return fmean(found) if len(found) == len(datasets) else None


def _same(variant: Variant, figure: Figure) -> bool:
    cell, facts = variant.newest.cell, figure.facts
    if (cell.method.name, cell.backbone, cell.task.name, cell.limit) != (
        figure.method,
        facts.backbone,
        facts.task,
        None,
    ):
        return False
    changed = variant.newest.labels.get("method_options", "")
    names = {part.partition("=")[0] for part in changed.split(", ") if part}
    options = {name: spell(value) for name, value in cell.method.options}
    wanted = dict(figure.options)
    if names - set(wanted) or any(options.get(name) != value for name, value in wanted.items()):
        return False
    return _learned_alike(cell, figure)


def _learned_alike(cell: Cell, figure: Figure) -> bool:
    training = cell.training
    if training is None:  # without the wording, nothing says that it is the same
        return bool(figure.options) and not figure.recipes
    source = cell.dataset if figure.facts.trained_on == ITSELF else figure.facts.trained_on
    return (
        bool({training.recipe.name, recipe_name(training)} & set(figure.recipes))
        and str(training.shots) == figure.facts.shots
        and training.source == source
    )
