"""`rppbench report`: tables from records as a static site; needs neither torch nor the plugins."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.leaderboard import load, report_damage
from rppbench.errors import UsageError
from rppbench.files.atomic import Problem
from rppbench.leaderboard.build import parts
from rppbench.records.store import Store
from rppbench.terminal.console import console

if TYPE_CHECKING:
    from rppbench.comparison.ablation import Ablation


def flags(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--output", default="runs", metavar="DIR", help="folder of a run [runs]")
    parser.add_argument("--to", metavar="FOLDER", help="where the site goes [site in that folder]")


def report(arguments: argparse.Namespace) -> int:
    """Write the site and say where it is; 1 if something among the records is damaged."""
    folder = Path(arguments.output)
    target = Path(arguments.to) if arguments.to else folder / "site"
    records, problems = load(folder)
    found = parts(records)
    ablations, damaged = _ablations(folder)
    report_damage(damaged)
    from rppbench.reporting.site import write  # matplotlib takes longer than a leaderboard

    try:
        with _progress(len(found) + len(ablations)) as step:
            index = write(found, target, ablations, step)
    except OSError as error:
        raise UsageError(f"cannot write the site in {target}: {error.strerror}") from error
    print(f"{index}: open it in a browser")
    return 1 if problems or damaged else 0


def _ablations(folder: Path) -> tuple[list[Ablation], list[Problem]]:
    """The reports of a run's folder and of its `ablations`, where published ones are."""
    found: list[Ablation] = []
    damaged: list[Problem] = []
    for home in (folder, folder / "ablations"):
        if any(home.glob("ablation-*.json")):
            from rppbench.reporting.ablation_page import (
                reports,  # numpy takes longer than a leaderboard
            )

            records, problems = Store(home).all()
            found += reports(records, home)
            damaged += problems if home != folder else []  # those were told
    return found, damaged


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], object]]:
    """A bar in a terminal; a plain line for each part elsewhere."""
    notes = console(stderr=True)
    if not notes.is_terminal:
        yield lambda title: notes.print(f"drawing {title}", soft_wrap=True)
        return
    from rich.progress import Progress

    with Progress(console=notes, transient=True) as bars:
        bar = bars.add_task("drawing", total=total)
        yield lambda title: bars.update(bar, advance=1, description=f"drawing {title}")
