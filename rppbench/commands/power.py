"""`rppbench power`: how many seeds show a difference of a given size between two rows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.compare import add_rows, print_each
from rppbench.errors import UsageError
from rppbench.leaderboard.number_format import difference_unit, signed_text
from rppbench.reporting.layout import NO_NUMBER, conditions, plural
from rppbench.reporting.markdown import escape, markdown_table
from rppbench.terminal.console import note
from rppbench.terminal.tables import print_page

if TYPE_CHECKING:  # importing numpy takes longer than all of `--help`
    from rppbench.comparison.compare import Comparison
    from rppbench.comparison.power import PlannedPairs
    from rppbench.records.cell import Cell
    from rppbench.records.record import Record

COUNTS = (2, 3, 5, 10, 20)
"""Numbers of seeds whose power is printed."""


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add_rows(parser)
    add = parser.add_argument
    add(
        "--difference",
        type=float,
        default=1.0,
        metavar="D",
        help="the true difference that is to be shown, in percentage points [1]",
    )
    add(
        "--pairs",
        type=int,
        default=1,
        metavar="N",
        help="correct p for N comparisons, as for all pairs of a table (Bonferroni) [1]",
    )


def power(arguments: argparse.Namespace) -> int:
    """Print the power for each table that has both rows; 1 if a record is damaged."""
    check_difference("--difference", arguments.difference)
    if arguments.pairs < 1:
        raise UsageError(f"--pairs must be at least 1, not {arguments.pairs}")
    level = 0.05 / arguments.pairs
    return print_each(arguments, lambda one: _page(one, arguments.difference, level))[1]


def check_difference(flag: str, difference: float) -> None:
    """UsageError for a difference, in percentage points, that no two rows can have."""
    if not 0 < difference <= 100:
        raise UsageError(f"{flag} must be between 0 and 100, not {difference:g}")


def power_of_plan(
    cells: Sequence[Cell], records: Sequence[Record], folder: Path, difference: float
) -> None:
    """Print how many seeds show the difference between planned rows, as a folder's records vary."""
    from rppbench.comparison.power import of_planned

    tables = of_planned(records, cells)
    if not tables:
        note(
            f"{folder} has no records of two of these rows, from which their spread could be "
            "known: run them with two or three seeds, or name a folder that has some (--pilot)"
        )
    seeds = len({cell.seed for cell in cells})
    lines = (line for pairs in tables for line in _planned(pairs, folder, difference, seeds))
    print_page("".join(f"{line}\n" for line in lines))


def _planned(pairs: PlannedPairs, folder: Path, difference: float, seeds: int) -> Iterator[str]:
    """A table with a line for each pair of rows; p is corrected for the number of pairs."""
    from rppbench.comparison.power import pilot
    from rppbench.stats.power import MOST_SEEDS, power, seeds_needed

    comparisons = pairs.comparisons
    table = comparisons[0].table
    level = 0.05 / len(comparisons)
    planned = [f"Probability with {seeds} seeds"] if seeds > 1 else []
    rows = []
    for comparison in comparisons:
        made = pilot(comparison)
        names = (escape(variant.label) for variant in (comparison.first, comparison.second))
        row = [" and ".join(names), ", ".join(map(str, made.seeds)) or NO_NUMBER]
        result = made.estimate
        if result is None or result.seed_count < 2:
            rows.append([*row, NO_NUMBER, *(NO_NUMBER for _ in planned)])
            continue
        needed = seeds_needed(result, difference / 100, level=level)
        shown = [f"{power(result, difference / 100, seeds, level):.0%}"] if planned else []
        rows.append([*row, str(needed) if needed else f"more than {MOST_SEEDS}", *shown])
    yield ""
    yield f"# Seeds that show a difference of {difference:g}: {escape(table.title)}"
    yield ""
    yield (
        f"{'; '.join(map(escape, conditions(table, learned=False)))}; from the records in "
        f"{escape(str(folder))}. In four of five runs, p < {level:.2g}"
        + (f": 0.05, corrected for {len(comparisons)} pairs." if len(comparisons) > 1 else ".")
    )
    yield ""
    yield from markdown_table(["Rows", "Seeds of the pilot", "Seeds", *planned], rows, left=2)
    if pairs.other_recipes:
        learned = "; ".join(f"{escape(label)}: {name}" for label, name in pairs.other_recipes)
        yield ""
        yield f"Learned by other recipes than planned: {learned}."
    if any(row[2] == NO_NUMBER for row in rows):
        yield ""
        yield f"{NO_NUMBER}: fewer than two common seeds do not show how much seeds vary."
    yield ""


def _page(comparison: Comparison, difference: float, level: float) -> Iterator[str]:
    from rppbench.comparison.power import pilot
    from rppbench.stats.power import MOST_SEEDS, power, seeds_needed

    made = pilot(comparison)
    result = made.estimate
    names = (escape(variant.label) for variant in (comparison.first, comparison.second))
    yield f"# {escape(comparison.table.title)}: {' and '.join(names)}"
    yield ""
    if result is None or result.seed_count < 2:
        fixed = comparison.first.deterministic and comparison.second.deterministic
        yield (
            "Nothing is random here: more seeds change nothing."
            if fixed
            else "One seed does not show how much seeds vary: run both rows with at least two."
        )
        yield ""
        return
    units = tuple(dict.fromkeys(pair.unit for pair in comparison.pairs)) or ("image",)
    choice = f"by the choice of test {plural(units)}"
    of_images = (
        f"standard error {100 * result.images**0.5:.2f} {choice}"
        if comparison.pairs
        else f"the standard error {choice} is not known, and counts as none"
    )
    digits = 3 if difference_unit(comparison.table.metric) == "nats" else 2
    deviation = 100 * (result.seeds * len(made.seeds)) ** 0.5
    yield (
        f"Pilot: {len(made.seeds)} seeds, difference {signed_text(100 * result.mean, digits)}; "
        f"standard deviation {deviation:.{digits}f} from seed to seed, {of_images}."
    )
    yield ""
    rows = [
        [str(count), f"{power(result, difference / 100, count, level):.0%}"] for count in COUNTS
    ]
    yield from markdown_table(["Seeds", f"Probability to show {difference:g}"], rows, left=1)
    yield ""
    needed = seeds_needed(result, difference / 100, level=level)
    yield (
        f"At least {needed} seeds show a difference of {difference:g} in four of five runs "
        f"(p < {level:.2g})."
        if needed
        else f"Not even {MOST_SEEDS} seeds show a difference of {difference:g} in four of five "
        f"runs (p < {level:.2g}): the test {plural(units)} are too few."
    )
    yield ""
