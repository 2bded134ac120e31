"""`rppbench merge`: one folder of records from several; needs neither torch nor the plugins."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rppbench.commands.leaderboard import report_damage, write_pages
from rppbench.errors import UsageError
from rppbench.leaderboard.build import build
from rppbench.records.merge import Merged
from rppbench.records.merge import merge as join
from rppbench.records.store import Store


def flags(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("into", metavar="INTO", help="folder of a run; made if it is not there")
    parser.add_argument("others", nargs="+", metavar="FROM", help="folders whose records to add")


def merge(arguments: argparse.Namespace) -> int:
    """Copy what is missing and make the pages again; 1 if something could not be joined."""
    into, others = Path(arguments.into), [Path(other) for other in arguments.others]
    for other in others:
        if not (other / "records").is_dir():
            raise UsageError(f"no folder {other / 'records'}: {other} is not that of a run")
        if other.resolve() == into.resolve():
            raise UsageError(f"{other} cannot be merged into itself")
    try:
        result = join(Store(into), map(Store, others))
    except OSError as error:
        raise UsageError(f"cannot write to {into}: {error.strerror}") from error
    records, problems = Store(into).all()
    report_damage([*result.problems, *problems])
    write_pages(build(records), into)
    for line in told(result, len(records), into):
        print(line, file=sys.stderr)
    return 1 if result.conflicts or result.problems else 0


def told(result: Merged, count: int, into: Path) -> list[str]:
    """The conflicts, and what came of all records; `count` are now in the folder."""
    counts = [
        f"{result.added} added",
        *([f"{result.replaced} in place of a failure"] if result.replaced else []),
        f"{result.known} already there",
        f"{len(result.conflicts)} in conflict and left as they are",
    ]
    conflicts = [f"rppbench: conflict: {conflict}" for conflict in result.conflicts]
    return [*conflicts, f"records: {', '.join(counts)}; {count} in {into}"]
