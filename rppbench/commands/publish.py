"""`rppbench publish`: copy sound records to a shared folder and write its pages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.ablate import designed, reported
from rppbench.commands.leaderboard import read_records, report_damage, write_all_pages
from rppbench.commands.merge import summary
from rppbench.commands.requests import loaded
from rppbench.errors import UsageError
from rppbench.planning.settings import GridSettings, grid_settings
from rppbench.records.merge import publish as copy
from rppbench.records.store import Store
from rppbench.terminal.console import note
from rppbench.terminal.step_progress import step_progress

if TYPE_CHECKING:
    from rppbench.planning.grids import Design


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("source", metavar="FROM", help="folder of a run")
    add(
        "--to",
        metavar="DIR",
        help="shared folder [leaderboards; with --grids leaderboards/ablations]",
    )
    add(
        "--grids",
        metavar="PATH",
        help="grid file or folder of grid files: publish their records, reports and plots only",
    )
    add("--yes", action="store_true", help="plan more than 10,000 cells without asking")
    add("--failed", action="store_true", help="also copy cells that failed, with their reasons")


def publish(arguments: argparse.Namespace) -> int:
    """Copy sound records and write the pages again; 1 if some could not be published."""
    source = Path(arguments.source)
    default = "leaderboards/ablations" if arguments.grids else "leaderboards"
    into = Path(arguments.to or default)
    if not (source / "records").is_dir():
        raise UsageError(f"no folder {source / 'records'}: {source} is not the folder of a run")
    if source.resolve() == into.resolve():
        raise UsageError(f"{source} cannot be published into itself")
    grids = designs(Path(arguments.grids), arguments.yes) if arguments.grids else []
    only = {cell.key for _, design in grids for cell in design.cells} if grids else None
    try:
        with step_progress() as begin_step:
            result, left, marked = copy(
                Store(source), Store(into), arguments.failed, only, begin_step
            )
    except OSError as error:
        raise UsageError(f"cannot write to {into}: {error.strerror}") from error
    records, problems = read_records(Store(into))
    report_damage([*result.problems, *problems])
    for chosen, design in grids:
        reports = reported(design.grid, chosen, records, into)
        done = sum(variant.done for variant in reports[0].results) if reports else 0
        name = design.grid.name
        print(f"{name}: {done} of {len(design.cells)} cells", file=sys.stderr, flush=True)
    if not grids:
        write_all_pages(records, into)
    for line in summary(result, len(records), into):
        print(line, file=sys.stderr)
    if left:
        print(f"{left} failed and were left out; --failed copies them too", file=sys.stderr)
    if marked:
        print(f"{marked} of partial data or a quick look were left out", file=sys.stderr)
    return 1 if result.conflicts or result.problems or problems else 0


def designs(path: Path, yes: bool = False) -> list[tuple[GridSettings, Design]]:
    """The grid of a file, or of each file in a folder that varies something, with its cells.

    A file with several backbones has a grid for each.

    UsageError if there is no grid.
    """
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    chosen = [grid_settings({}, str(file), note) for file in files]
    if path.is_dir():
        # A file that grids inherit from varies nothing and is not a grid itself.
        chosen = [grid for grid in chosen if grid.vary]
    if not chosen:
        raise UsageError(f"no grids in {path}: a grid is a .yaml file with `vary`")
    from rppbench.planning.input_digests import InputDigests

    digests = InputDigests(loaded(chosen[0]))
    return [(grid, design) for grid in chosen for design in designed(digests, grid, yes)]
