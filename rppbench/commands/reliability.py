"""`rppbench reliability`: calibration of rows of tables; needs neither torch nor the plugins."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.leaderboard import load
from rppbench.commands.records import add_filters, passes
from rppbench.errors import UsageError
from rppbench.files.atomic import Problem, write_atomically
from rppbench.leaderboard.build import build_with_variants
from rppbench.leaderboard.kept import Without
from rppbench.leaderboard.number_format import signed_text
from rppbench.terminal.console import console, note
from rppbench.terminal.tables import print_table

if TYPE_CHECKING:  # it needs numpy
    from rppbench.leaderboard.calibration import Curve

LISTED_CURVES = 4
"""Most curves whose bins are printed; of more, the summary alone."""
MOST_BINS = 1000


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add_filters(parser.add_argument)
    add = parser.add_argument
    add("--seed", type=int, nargs="+", action="extend", metavar="N", help="only these seeds")
    add("--bins", type=int, default=15, metavar="N", help="bins of equal width of the curve [15]")
    add("--svg", metavar="FILE", help="also draw the curves to this file")
    add("--output", default="runs", metavar="DIR", help="folder of a run [runs]")


def reliability(arguments: argparse.Namespace) -> int:
    """Print the curves of the chosen records; 1 if something is damaged."""
    if not 1 <= arguments.bins <= MOST_BINS:
        raise UsageError(f"--bins must be from 1 to {MOST_BINS}, not {arguments.bins}")
    folder = Path(arguments.output)
    records, problems = load(folder)
    chosen = [
        record
        for record in records
        if record.status == "ok" and passes(record, arguments)
        if not arguments.seed or record.cell.seed in arguments.seed
    ]
    # Imported only here: importing numpy takes longer than making a leaderboard.
    from rppbench.leaderboard.calibration import curves

    unread: list[Problem] = []
    drawn: list[Curve] = []
    for built in build_with_variants(chosen, kept=Without()) if chosen else ():
        of_table = [
            curve
            for variant in built.variants
            for curve in curves(folder, variant, unread, arguments.bins)
        ]
        if of_table:
            conditions = ", ".join(" ".join(pair) for pair in built.table.differences)
            title = f"{built.table.title} ({conditions})" if conditions else built.table.title
            _print(title, of_table)
            drawn += of_table
    for problem in unread:
        note(f"left out: {problem}")
    if not drawn:
        raise UsageError(
            f"no confidences of the chosen records in {folder / 'confidences'}: runs before 0.2 "
            "kept none, and tasks that score regions have none"
        )
    if arguments.svg:
        _draw(drawn, Path(arguments.svg))
    return 1 if problems or unread else 0


def _print(title: str, curves: Sequence[Curve]) -> None:
    """A summary of the curves, and the bins of each if they are few."""
    out = console()
    out.print(title)
    out.print()
    heads = ("Row", "Part", "Records", "Images", "Accuracy", "Confidence", "ECE")
    rows = [
        [
            *(curve.label, curve.part, str(curve.records), str(curve.images)),
            *(f"{value:.2f}" for value in (curve.accuracy, curve.confidence, curve.error)),
        ]
        for curve in curves
    ]
    print_table(out, heads, rows)
    out.print()
    if len(curves) > LISTED_CURVES:
        out.print(f"bins are printed for up to {LISTED_CURVES} curves: choose fewer")
        return
    for curve in curves:
        out.print(f"{curve.label}, {curve.part}")
        out.print()
        print_table(
            out,
            ("Confidence in", "Images", "Accuracy", "Confidence", "Gap"),
            [
                [
                    f"{100 * one.low:.1f} to {100 * one.high:.1f}",
                    str(one.images),
                    *(f"{100 * value:.2f}" for value in (one.accuracy, one.confidence)),
                    signed_text(100 * one.gap, 2),
                ]
                for one in curve.bins
                if one.images
            ],
        )
        out.print()


def _draw(curves: Sequence[Curve], path: Path) -> None:
    # Imported only here: importing matplotlib takes longer than all the rest.
    from rppbench.reporting import plots
    from rppbench.reporting.figure_style import svg

    figure = plots.reliability(curves)
    assert figure is not None, "there are curves"
    try:
        write_atomically(path, svg(figure))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    print(f"{path}: the curves", file=sys.stderr)
