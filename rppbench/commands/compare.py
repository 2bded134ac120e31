"""`rppbench compare`: the paired difference of two rows; needs neither torch nor the plugins."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rppbench.commands.changed_images import PAGE, most_changed, write_changed
from rppbench.commands.leaderboard import load
from rppbench.errors import UsageError
from rppbench.leaderboard.number_format import decimals, difference_unit, signed_text
from rppbench.reporting.footnotes import groups_note
from rppbench.reporting.layout import NO_NUMBER, conditions, plural
from rppbench.reporting.markdown import difference_cells, escape, markdown_table
from rppbench.terminal.console import note
from rppbench.terminal.tables import print_page

if TYPE_CHECKING:  # importing numpy takes longer than all of `--help`
    import numpy as np
    from numpy.typing import NDArray

    from rppbench.comparison.by_image import PairedOutcomes
    from rppbench.comparison.by_seed import PairedScores
    from rppbench.comparison.compare import Comparison
    from rppbench.leaderboard.tables import Table


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add_rows(parser)
    parser.add_argument(
        "--images",
        type=int,
        default=0,
        metavar="N",
        help="list up to N images that changed, in each direction [0]",
    )
    parser.add_argument(
        "--to", metavar="DIR", help="new folder for the pictures of these images, and their page"
    )


def add_rows(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose two rows and the tables to look for them in."""
    add = parser.add_argument
    add("first", metavar="A", help="a row as printed in the leaderboard, or as rpp:kd=off")
    add("second", metavar="B", help="the row to compare with it: differences are B - A")
    add("--output", default="runs", metavar="DIR", help="folder of a run [runs]")
    add("--task", metavar="TASK", help="only this task's tables")
    add("--metric", metavar="M", help="compare this metric instead of the main one")


def compare(arguments: argparse.Namespace) -> int:
    """Print a page for each table that has both rows; 1 if a record is damaged."""
    if arguments.images < 0:
        raise UsageError(f"--images must be at least 0, not {arguments.images}")
    if arguments.to is not None and not arguments.images:
        raise UsageError("--to writes the pictures of changed images: add --images N")
    comparisons, status = print_each(
        arguments, lambda one: (*_page(one), *_images(one, arguments.images))
    )
    if arguments.to is not None:
        folder = Path(arguments.to).expanduser()
        for remark in write_changed(comparisons, arguments.images, folder):
            note(remark)
        note(f"the pictures and their page: {folder / PAGE}")
    return status


def print_each(
    arguments: argparse.Namespace, page: Callable[[Comparison], Iterable[str]]
) -> tuple[Sequence[Comparison], int]:
    """Print the lines of `page` for each table that has both rows of `add_rows`.

    Returns the comparisons, and 1 if a record is damaged.
    """
    from rppbench.comparison.compare import compare

    records, problems = load(Path(arguments.output))
    comparisons, remarks = compare(
        records, arguments.first, arguments.second, arguments.task, arguments.metric
    )
    print_page("".join(f"{line}\n" for one in comparisons for line in page(one)))
    for remark in remarks:
        note(f"not compared: {remark}")
    return comparisons, 1 if problems else 0


def _page(comparison: Comparison) -> Iterator[str]:
    table, pairs = comparison.table, comparison.pairs
    first, second = (escape(e.label) for e in (comparison.first, comparison.second))
    yield f"# {escape(table.title)}: {second} against {first}"
    yield ""
    if table.differences:
        yield "## " + ", ".join(f"{name}: {escape(value)}" for name, value in table.differences)
        yield ""
    yield "; ".join(
        [
            *map(escape, conditions(table, learned=False)),
            f"difference in {_unit(comparison)}, with its 95 % interval; bold where p < 0.05.",
        ]
    )
    yield ""
    yield from _pairs(comparison, first, second) if pairs else _by_seed(comparison, first, second)
    yield ""
    yield from (f"- {note}" for note in _notes(comparison))
    yield ""


def _unit(comparison: Comparison) -> str:
    """Unit of the differences; of several metrics, each has the unit of its numbers."""
    table = comparison.table
    columns = [column for column, _ in comparison.by_seed] if table.by_metric else []
    units = {difference_unit(column.metric) for column in columns}
    return " or ".join(sorted(units, reverse=True)) or difference_unit(table.metric)


def _pairs(comparison: Comparison, first: str, second: str) -> list[str]:
    """The table of a comparison on the same images."""
    table, pairs = comparison.table, comparison.pairs
    heads = ["Data set", first, second, "Difference", "95 % interval", "p"]
    heads += ["Only A right", "Only B right", "Images", "Seeds"]
    rows = [
        [
            escape(table.heading(pair.column)),
            f"{100 * pair.first.mean():.1f}",
            f"{100 * pair.second.mean():.1f}",
            *difference_cells(pair.difference, p),
            *(
                _per_seed(count, len(pair.seeds)) if pair.counted else NO_NUMBER
                for count in (pair.lost, pair.gained)
            ),
            str(pair.images),
            str(len(pair.seeds)),
        ]
        for pair, p in zip(pairs, comparison.corrected, strict=True)
    ]
    overall = comparison.overall
    if overall:
        sets = "" if len(pairs) == len(table.columns) else f" ({len(pairs)}/{len(table.columns)})"
        means = [f"{overall.first:.1f}", f"{overall.second:.1f}"]
        shown = difference_cells(overall.difference, overall.difference.p)
        average = f"Average of {len(pairs)}{sets}"
        rows.append([average, *means, *shown, "", "", "", str(len(overall.seeds))])
    return markdown_table(heads, rows, left=1)


def _by_seed(comparison: Comparison, first: str, second: str) -> list[str]:
    """The table of a comparison under the same seeds: the metric has no outcome for each image."""
    table = comparison.table
    rows = [
        [escape(table.heading(column)), *_numbers(paired, p, decimals(column.metric))]
        for (column, paired), p in zip(
            comparison.by_seed, comparison.corrected_by_seed, strict=True
        )
    ]
    if mean := comparison.average_by_seed:
        p = mean.difference.p if mean.difference else None
        shown = _numbers(mean, p, decimals(table.metric))
        rows.append([f"Average of {len(comparison.by_seed)}", *shown])
    what = "Metric" if table.by_metric else "Data set"
    heads = [what, first, second, "Difference", "95 % interval", "p", "Seeds"]
    return markdown_table(heads, rows, left=1)


def _numbers(paired: PairedScores, p: float | None, digits: int) -> list[str]:
    """Both means, their difference, its interval and p if the seeds differ, and the seed count."""
    before, after = fmean(paired.first), fmean(paired.second)
    shown = [signed_text(after - before, digits), NO_NUMBER, NO_NUMBER]
    if paired.difference is not None and p is not None:
        shown = difference_cells(paired.difference, p, digits)
    return [f"{before:.{digits}f}", f"{after:.{digits}f}", *shown, str(len(paired.seeds))]


def _per_seed(count: int, seeds: int) -> str:
    """The mean count per seed, without decimals if it is an integer."""
    return f"{count / seeds:.1f}".removesuffix(".0")


def _notes(comparison: Comparison) -> Iterator[str]:
    table, pairs, overall = comparison.table, comparison.pairs, comparison.overall
    for name, row in zip("AB", table.rows, strict=True):
        how = f", {row.recipe}, trained on {row.learned_on} per class" if row.recipe else ""
        yield f"{name} is {escape(row.label + how)}."
    if comparison.by_seed:
        yield from _notes_by_seed(comparison)
        return
    units = plural(tuple(dict.fromkeys(pair.unit for pair in pairs)))
    trained = not (comparison.first.deterministic and comparison.second.deterministic)
    counts = {table.heading(pair.column): len(pair.seeds) for pair in pairs}
    if overall and len(pairs) > 1:
        counts["the average"] = len(overall.seeds)
    single = [escape(what) for what, count in counts.items() if count == 1]
    several = len(counts) - len(single)
    if trained and several:
        where = " where there are several seeds" if single else ""
        yield f"Intervals and p cover the choice of seeds and of test {units}{where}."
    if single:
        where = f" ({', '.join(single)})" if trained and several else ""
        caution = " It says nothing about prompts learned with another seed." if trained else ""
        method = f"intervals and p cover the choice of test {units} alone"
        exact = "; p is that of McNemar's exact test" if any(pair.exact for pair in pairs) else ""
        what = "one seed" if trained else "nothing random"
        yield f"With {what}{where}: {method}{exact}.{caution}"
    yield from groups_note(pair.unit for pair in pairs)
    if len(pairs) > 1:
        what = "metrics" if table.by_metric else "data sets"
        average = ", nor is the p of the average" if overall else ""
        yield f"p is corrected for the {len(pairs)} {what} (Holm); intervals are not{average}."
    if any(len(pair.seeds) > 1 and pair.counted for pair in pairs):
        yield "Counts of images that only one of the two has right are means over seeds."
    if overall and any(pair.seeds != overall.seeds for pair in pairs):
        seeds = ", ".join(map(str, overall.seeds))
        yield f"The average is over the seeds that every data set has: {seeds}."
    if len(pairs) > 1 and not overall and not table.by_metric:
        yield "There is no average: no seed was run on every data set."
    for why, headings in comparison.left_out:
        yield _left_out(table, headings, why)


def _notes_by_seed(comparison: Comparison) -> Iterator[str]:
    from rppbench.leaderboard.outcomes import NOT_KEPT

    known = [p for p in comparison.corrected_by_seed if p is not None]
    yield (
        "These numbers are not kept image by image: paired t-test over seeds, which does "
        "not account for the choice of images."
    )
    if len(known) < len(comparison.by_seed):
        yield "One seed, or seeds with equal differences, give neither interval nor p."
    if len(known) > 1:
        what = "metrics" if comparison.table.by_metric else "data sets"
        average = ", nor is the p of the average" if comparison.average_by_seed else ""
        yield f"p is corrected for the {len(known)} {what} (Holm); intervals are not{average}."
    for why, headings in comparison.left_out:
        if NOT_KEPT not in why:
            yield _left_out(comparison.table, headings, why)


def _left_out(table: Table, headings: Sequence[str], why: str) -> str:
    where = escape(", ".join(headings))
    if 1 < len(headings) == len(table.columns):
        where = "all metrics" if table.by_metric else "all data sets"
    return f"Left out in {where}: {escape(why)}."


def _images(comparison: Comparison, limit: int) -> Iterator[str]:
    """Positions of the changed images, first those that changed under the most seeds."""
    if not limit or not comparison.pairs:
        return
    yield "Changed images, by position among the scored ones, from 0; (k/n): under k of n seeds."
    yield ""
    for pair in (pair for pair in comparison.pairs if pair.counted):
        heading = escape(comparison.table.heading(pair.column))
        yield f"- {heading}, wrong -> right: {_positions(pair, pair.changes > 0, limit)}"
        yield f"- {heading}, right -> wrong: {_positions(pair, pair.changes < 0, limit)}"
    yield ""


def _positions(pair: PairedOutcomes, where: NDArray[np.bool_], limit: int) -> str:
    changed = most_changed(where)
    many = len(pair.seeds) > 1
    shown = [f"{i} ({count}/{len(pair.seeds)})" if many else str(i) for i, count in changed[:limit]]
    more = f" and {len(changed) - limit} more" if len(changed) > limit else ""
    return ", ".join(shown) + more if shown else "none"
