"""`rppbench publish`: sound records into a folder that others see, and its pages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rppbench.commands.leaderboard import report_damage, write_all_pages
from rppbench.commands.merge import told
from rppbench.errors import UsageError
from rppbench.leaderboard import build
from rppbench.publishing import publish as copy
from rppbench.store import Store


def flags(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add = parser.add_argument
    add("source", metavar="FROM", help="folder of a run")
    add("--to", default="leaderboards", metavar="DIR", help="where others look [leaderboards]")
    add("--failed", action="store_true", help="also cells that failed, with their reasons")


def publish(arguments: argparse.Namespace) -> int:
    """Copy what is sound and make the pages again; 1 if something could not be published."""
    source, into = Path(arguments.source), Path(arguments.to)
    if not (source / "records").is_dir():
        raise UsageError(f"no folder {source / 'records'}: {source} is not that of a run")
    if source.resolve() == into.resolve():
        raise UsageError(f"{source} cannot be published into itself")
    try:
        result, left = copy(Store(source), Store(into), arguments.failed)
    except OSError as error:
        raise UsageError(f"cannot write to {into}: {error.strerror}") from error
    records, problems = Store(into).all()
    report_damage([*result.problems, *problems])
    write_all_pages(records, build(records), into)
    for line in told(result, len(records), into):
        print(line, file=sys.stderr)
    if left:
        print(f"{left} failed and were left out; --failed takes them too", file=sys.stderr)
    return 1 if result.conflicts or result.problems or problems else 0
