"""Published numbers beside measured ones: which published number matches which row.

They match if method and options, backbone, recipe, training data set, shots, task, test data set
and metric are the same. Precision may differ: papers of this family ran in fp16. Numbers that
quote another source, and those of single seeds, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, harmonic_mean

from rppbench.leaderboard.published import ITSELF, PublishedNumber, shipped_numbers
from rppbench.leaderboard.tables import PublishedMatch
from rppbench.leaderboard.variants import Variant
from rppbench.records.cell import Cell, recipe_name, spell
from rppbench.records.record import Record
from rppbench.stats.intervals import interval

HARMONIC_OF_AVERAGES = "harmonic mean of the averages"
"""A metric that papers print. A table's own average is over the data sets' harmonic means."""


def published_matches(
    variants: Sequence[Variant], numbers: Iterable[PublishedNumber] | None = None
) -> list[PublishedMatch]:
    """A match for every published number that a variant measured too, in the variants' order.

    `numbers` are the published numbers to match; None takes all that come with rppbench.
    """
    cells = [variant.newest.cell for variant in variants]
    if numbers is None:
        # Papers use public weights (MODEL/TAG): if no backbone has that form, nothing can match.
        numbers = shipped_numbers() if any("/" in cell.backbone for cell in cells) else ()
    first_hand = [n for n in numbers if not n.quotes and not n.provenance.seed]
    return [
        match
        for variant in variants
        for number in first_hand
        if _same_conditions(variant, number)
        for match in _match(variant, number)
    ]


def _match(variant: Variant, number: PublishedNumber) -> Iterator[PublishedMatch]:
    """One match; no match where the variant lacks a value of this number."""
    datasets = number.over or (number.dataset,)
    metric = number.provenance.metric
    values = [
        value
        for seed in variant.seeds
        if (value := measured([variant.record(d, seed) for d in datasets], metric)) is not None
    ]
    if not values:
        return
    result = interval(values)
    published = float(number.value)
    half = result.half_width
    titles = {r.cell.dataset: r.labels.get("dataset") or r.cell.dataset for r in variant.records}
    via = f", read in {number.provenance.via}" if number.provenance.via else ""
    yield PublishedMatch(
        row=variant.label,
        what=f"Average of {len(datasets)}" if number.over else titles[number.dataset],
        metric=metric,
        measured=result,
        expected=len(variant.seeds),
        printed=str(number.value),
        difference=result.mean - published,
        inside=None if half is None else abs(published - result.mean) <= half,
        kind=number.provenance.kind,
        source=f"{number.origin}, {number.place}{via}",
    )


def measured(records: Sequence[Record | None], metric: str) -> float | None:
    """The mean over records of one seed, one for each data set; None unless all have a value."""
    if metric == HARMONIC_OF_AVERAGES:
        base, new = (measured(records, half) for half in ("base", "new"))
        return None if base is None or new is None else harmonic_mean([base, new])
    scores = [None if record is None else record.score(metric) for record in records]
    values = [score.value for score in scores if score is not None]
    return fmean(values) if values and len(values) == len(records) else None


def _same_conditions(variant: Variant, number: PublishedNumber) -> bool:
    cell, provenance = variant.newest.cell, number.provenance
    if cell.marks or (cell.method.name, cell.backbone, cell.task.name, cell.limit) != (
        number.method,
        provenance.backbone,
        provenance.task,
        None,
    ):
        return False
    label = variant.newest.labels.get("method_options", "")
    changed = {part.partition("=")[0] for part in label.split(", ") if part}
    options = {name: spell(value) for name, value in cell.method.options}
    wanted = dict(number.options)
    if changed - set(wanted) or any(options.get(name) != value for name, value in wanted.items()):
        return False
    return _same_training(cell, number)


def _same_training(cell: Cell, number: PublishedNumber) -> bool:
    training = cell.training
    if training is None:  # only stated options (the prompt template) show the same conditions
        return bool(number.options) and not number.recipes
    trained_on = number.provenance.trained_on
    return (
        not training.draw
        and bool({training.recipe.name, recipe_name(training)} & set(number.recipes))
        and str(training.shots) == number.provenance.shots
        and training.source == (cell.dataset if trained_on == ITSELF else trained_on)
    )
