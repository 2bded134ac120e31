"""`rppbench report`: tables from records as a static site; needs neither torch nor the plugins."""

from __future__ import annotations

import argparse
from pathlib import Path

from rppbench.commands.leaderboard import load
from rppbench.errors import UsageError
from rppbench.leaderboard import parts


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
    from rppbench.report import write  # matplotlib takes longer than a leaderboard

    try:
        index = write(found, target)
    except OSError as error:
        raise UsageError(f"cannot write the site in {target}: {error.strerror}") from error
    print(f"{index}: open it in a browser")
    return 1 if problems else 0
