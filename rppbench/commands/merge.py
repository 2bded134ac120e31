"""`rppbench merge`: join folders of records; needs neither torch nor the plugins."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rppbench.commands.leaderboard import read_records, report_damage, tables_of, write_pages
from rppbench.errors import UsageError
from rppbench.records.merge import Merged
from rppbench.records.merge import merge as join
from rppbench.records.store import Store
from rppbench.terminal.step_progress import step_progress


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("into", metavar="INTO", help="folder of a run; created if missing")
    parser.add_argument("others", nargs="+", metavar="FROM", help="folders whose records to add")


def merge(arguments: argparse.Namespace) -> int:
    """Copy missing records and write the pages again; 1 if some could not be joined."""
    into, others = Path(arguments.into), [Path(other) for other in arguments.others]
    for other in others:
        if not (other / "records").is_dir():
            raise UsageError(f"no folder {other / 'records'}: {other} is not the folder of a run")
        if other.resolve() == into.resolve():
            raise UsageError(f"{other} cannot be merged into itself")
    try:
        with step_progress() as begin_step:
            result = join(Store(into), map(Store, others), begin_step)
    except OSError as error:
        raise UsageError(f"cannot write to {into}: {error.strerror}") from error
    records, problems = read_records(Store(into))
    report_damage([*result.problems, *problems])
    write_pages(tables_of(records, into), into)
    for line in summary(result, len(records), into):
        print(line, file=sys.stderr)
    return 1 if result.conflicts or result.problems else 0


def summary(result: Merged, count: int, into: Path) -> list[str]:
    """Lines that report the conflicts and the counts; `into` now has `count` records."""
    counts = [
        f"{result.added} added",
        *([f"{result.replaced} in place of a failure"] if result.replaced else []),
        f"{result.known} already there",
        f"{len(result.conflicts)} in conflict and left as they are",
    ]
    conflicts = [f"rppbench: conflict: {conflict}" for conflict in result.conflicts]
    return [*conflicts, f"records: {', '.join(counts)}; {count} in {into}"]
