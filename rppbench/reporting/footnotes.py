"""Footnotes of a leaderboard table, as plain text: ranks, groups, gaps, recipes, devices, costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rppbench.leaderboard.number_format import FAILURE_TEXTS, on_one_line
from rppbench.leaderboard.tables import TASK_OPTION, Table, TableCell
from rppbench.records.cell import UNLABELLED
from rppbench.records.outcomes import IMAGE
from rppbench.reporting.layout import plural
from rppbench.stats.ranks import LEVEL, Ranking


def footnotes(table: Table, tie: str = "share a letter") -> Iterator[str]:
    """The footnotes, one or more sentences each; `tie` says how rows are joined that tests do not
    separate."""
    if any(not row.average.is_complete for row in table.rows if row.average):
        yield (
            "Of an average marked (n/m) only n of m data sets have all seeds. It is left out where "
            "rows have numbers on different sets, and never marked as best."
        )
    if table.ranking:
        yield _ranking(table.ranking, table, tie)
    yield from groups_note(table.units)
    if table.dominating:
        yield (
            f"{table.dominating} has the largest share of the variance of the rows' averages, "
            f"{table.dominance:.0%} (an equal share is {1 / len(table.columns):.0%})."
        )
    for row in table.rows:
        gaps: dict[str, list[str]] = {}
        for column, entry in zip(table.columns, row.entries, strict=True):
            # A metric that the method does not have is not a gap.
            undefined = table.by_metric and not entry.values and not entry.missing
            if not entry.is_complete and not undefined:
                gaps.setdefault(_reason(entry), []).append(table.heading(column))
        if gaps:
            listed = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in gaps.items())
            yield f"{row.label} is incomplete: {listed}."
    deterministic = [row.label for row in table.rows if row.deterministic]
    if deterministic and "imported" in dict(table.setting):
        yield f"One number without a seed, so {_single(table)}: {', '.join(deterministic)}."
    elif deterministic:
        yield f"Deterministic, so {_single(table)}: {', '.join(deterministic)}."
    recipes = [f"{row.label}: {row.recipe}" for row in table.rows if row.recipe]
    if recipes:
        yield f"Recipes: {'; '.join(recipes)}."
    unlabelled = [row.label for row in table.rows if dict(row.facts).get("classes") == UNLABELLED]
    if unlabelled:
        yield (
            f"Unlabelled target images seen: {', '.join(unlabelled)}. All training images of each "
            "set, those of classes scored as new too, were learned from without their labels."
        )
    ranges = [
        f"{row.label} from {row.fewest_parameters:,}"
        for row in table.rows
        if row.fewest_parameters is not None
    ]
    if ranges:
        yield f"Parameters are those on the data set that has the most: {'; '.join(ranges)}."
    if options := [pair for pair in _task_options(table) if pair[1]]:
        yield f"Options of the task: {', '.join('='.join(pair) for pair in options)}."
    if table.few_images:
        yield f"Fewer training images than shots: {'; '.join(table.few_images)}."
    if table.devices and any(row.train_seconds is not None for row in table.rows):
        yield f"Train time is that of one training, on {', '.join(table.devices)}."
    if table.devices and any(row.inference for row in table.rows):
        yield (
            "FLOPs and images a second are those of live predictions: an image with the features "
            "of its classes ready, and the features of all classes of a data set, once. Timed on "
            f"{', '.join(table.devices)}, without reading files; means over data sets and seeds."
        )
    if any(row.seen_names for row in table.rows):
        yield "Seen names: how many class names were learned on another data set, of all."


def groups_note(units: Iterable[str]) -> Iterator[str]:
    """One sentence on images of a group, for these units; none if each image is on its own."""
    groups = [unit for unit in dict.fromkeys(units) if unit != IMAGE]
    if groups:
        yield f"Images that share a {' or a '.join(groups)} do not count as independent."


def _task_options(table: Table) -> Iterator[tuple[str, str]]:
    """The options that all rows share, without those that say what is learned from: the caption
    has these."""
    for name, value in table.setting:
        option = name.removeprefix(TASK_OPTION)
        if option != name and option not in ("suite", "source", "shots"):
            yield option, value


def _single(table: Table) -> str:
    return "n = 1" if table.units else "n = 1 and no interval"


def _ranking(ranking: Ranking, table: Table, tie: str) -> str:
    paired = "image and seed" if table.units else "seed"
    untested, single = ranking.pairs - ranking.tested, ranking.one_seed
    return (
        f"Rank is the mean over the {ranking.datasets} data sets, 1 being best, of the complete "
        f"rows. Rows that {tie} are not separated: the difference of their averages, "
        f"paired by {paired}, has p of at least {LEVEL} after correction for all pairs (Holm). "
        f"{ranking.separated} of {ranking.pairs} pairs are separated"
        + (f"; {untested} could not be tested." if untested else ".")
        + (f" {one_seed_note(single, ranking.tested, table.units)}" if single else "")
    )


def one_seed_note(single: int, tested: int, units: Sequence[str]) -> str:
    """A sentence on tests that have one seed in common, of images of these units."""
    which = (
        "Each pair has one seed in common, so the tests cover"
        if single == tested
        else f"{single} of {tested} tested pairs have one seed in common: their tests cover"
    )
    return f"{which} the choice of test {plural(units)} alone, and another seed may say otherwise."


def _reason(entry: TableCell) -> str:
    if not entry.missing:
        return f"{len(entry.values)} of {entry.expected} seeds were run"
    reasons = []
    for missing in entry.missing:
        kind = FAILURE_TEXTS.get(missing.kind, f"failed, {missing.kind}")
        reasons.append(f"{kind}: {on_one_line(missing.message)}")
    shared = "; ".join(dict.fromkeys(reasons))
    seeds = ", ".join(str(missing.seed) for missing in entry.missing)
    return f"seed {seeds}: {shared}"
