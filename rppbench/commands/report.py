"""`rppbench report`: a static site from records; needs neither torch nor the plugins."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.leaderboard import load, read_records, report_damage, tables_with_variants
from rppbench.errors import UsageError
from rppbench.files.atomic import Problem
from rppbench.records.store import Store
from rppbench.terminal.console import note
from rppbench.terminal.step_progress import step_progress

if TYPE_CHECKING:
    from rppbench.comparison.ablation import Ablation
    from rppbench.leaderboard.build import TableWithVariants
    from rppbench.leaderboard.calibration import Curve
    from rppbench.records.record import Record


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("--output", default="runs", metavar="DIR", help="folder of a run [runs]")
    parser.add_argument(
        "--to", metavar="FOLDER", help="folder for the site [site in the folder of the run]"
    )


def report(arguments: argparse.Namespace) -> int:
    """Write the site and print its path; 1 if something among the records is damaged."""
    folder = Path(arguments.output)
    target = Path(arguments.to) if arguments.to else folder / "site"
    records, problems = load(folder)
    tables = tables_with_variants(records, folder)
    ablations, damaged = _ablations(folder, records)
    report_damage(damaged)
    # Imported only here: importing matplotlib takes longer than making a leaderboard.
    from rppbench.leaderboard.calibration import curves
    from rppbench.reporting.site.files import write

    unread: list[Problem] = []

    def curves_of(built: TableWithVariants) -> Iterator[Curve]:
        for variant in built.variants:
            yield from curves(folder, variant, unread)

    try:
        with step_progress() as begin_step:
            draw, drawn = begin_step("draw tables and plots"), count()
            total = len(tables) + len(ablations)
            index = write(
                tables, target, ablations, lambda title: draw(next(drawn), total), curves_of, folder
            )
    except OSError as error:
        raise UsageError(f"cannot write the site in {target}: {error.strerror}") from error
    for problem in unread:
        note(f"left out of the plots: {problem}")
    print(f"{index}: open it in a browser")
    return 1 if problems or damaged or unread else 0


def _ablations(folder: Path, records: Sequence[Record]) -> tuple[list[Ablation], list[Problem]]:
    """The ablations of a run's folder, which has these records, and of its `ablations` subfolder,
    where published ones are; and what is damaged in the latter.
    """
    ablations: list[Ablation] = []
    damaged: list[Problem] = []
    for home in (folder, folder / "ablations"):
        if any(home.glob("ablation-*.json")):
            # Imported only here: importing numpy takes longer than making a leaderboard.
            from rppbench.reporting.ablation_page import reports

            if home != folder:
                records, damaged = read_records(Store(home))
            ablations += reports(records, home)
    return ablations, damaged
