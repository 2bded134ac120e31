"""`rppbench leaderboard`: tables from records alone; needs neither torch nor the plugins."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rppbench.errors import UsageError
from rppbench.files.atomic import Problem
from rppbench.leaderboard.build import TableWithVariants, build, build_with_variants
from rppbench.leaderboard.kept import Kept
from rppbench.leaderboard.tables import Table
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.reporting import csv_json, latex
from rppbench.reporting.leaderboard_files import write_leaderboards
from rppbench.reporting.markdown import page
from rppbench.terminal.console import hanging, note
from rppbench.terminal.step_progress import step_progress
from rppbench.terminal.tables import print_page

FORMATS = {"markdown": page, "csv": csv_json.csv, "json": csv_json.json, "latex": latex.page}


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("task", nargs="?", metavar="TASK", help="print only this task's tables")
    parser.add_argument("--output", default="runs", metavar="DIR", help="folder of a run [runs]")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"print {', '.join(FORMATS)} [a drawn table in a terminal, else markdown]",
    )
    parser.add_argument("--metric", metavar="M", help="print this metric instead of the main one")
    parser.add_argument(
        "--allow-mixed",
        action="store_true",
        help="print one table per task, even of rows that cannot be compared; pages stay separate",
    )


def leaderboard(arguments: argparse.Namespace) -> int:
    """Print the tables and write them next to the records; 1 if a record is damaged."""
    folder = Path(arguments.output)
    records, problems = load(folder)
    chosen = (arguments.task, arguments.metric, arguments.allow_mixed)
    with step_progress() as begin_step:
        begin_step("make tables")
        tables = tables_of(records, folder)
        printed = build(records, *chosen, kept=Kept(folder)) if any(chosen) else tables
    if arguments.format:
        sys.stdout.write(FORMATS[arguments.format](printed))
    else:
        print_page(page(printed))
    write_all_pages(records, folder, tables)
    report_failures(records, folder)
    return 1 if problems else 0


def read_records(store: Store) -> tuple[list[Record], list[Problem]]:
    """All records below a folder, and the damaged files and lines; displays its progress."""
    with step_progress() as begin_step:
        return store.all(begin_step(f"read records of {store.root}"))


def load(folder: Path) -> tuple[list[Record], list[Problem]]:
    """All records below a folder, and the damaged files and lines, which are printed too.

    UsageError if there are no records.
    """
    records, problems = read_records(Store(folder))
    report_damage(problems)
    if not records:
        raise UsageError(
            f"no records in {folder / 'records'}; `rppbench run --output {folder}` makes them"
        )
    return records, problems


def tables_of(records: Sequence[Record], folder: Path) -> list[Table]:
    """The tables of the records in a folder. Their statistics are kept there for the next time.

    UsageError if the folder cannot be written.
    """
    return [built.table for built in tables_with_variants(records, folder)]


def tables_with_variants(records: Sequence[Record], folder: Path) -> list[TableWithVariants]:
    """As `tables_of`, each table with its variants."""
    kept = Kept(folder)
    tables = build_with_variants(records, kept=kept)
    try:
        kept.write()
    except OSError as error:
        raise UsageError(f"cannot write in {folder}: {error.strerror}") from error
    return tables


def write_all_pages(
    records: Sequence[Record], folder: Path, tables: Sequence[Table] | None = None
) -> None:
    """Write the pages of all tasks and of the ablations in the folder."""
    write_pages(tables_of(records, folder) if tables is None else tables, folder)
    if any(folder.glob("ablation-*.json")):
        # Imported only here: importing numpy takes longer than making a leaderboard.
        from rppbench.reporting.ablation_page import rewrite

        rewrite(records, folder, folder)


def write_pages(tables: Sequence[Table], folder: Path) -> None:
    """Write the pages of all tasks. UsageError if the folder cannot be written."""
    try:
        write_leaderboards(tables, folder)
    except OSError as error:
        raise UsageError(f"cannot write the pages in {folder}: {error.strerror}") from error


def report_failures(records: Sequence[Record], folder: Path) -> None:
    """Print the cells that have no number, why, and how to forget them."""
    failed = [(record, record.failure) for record in records if record.failure is not None]
    for record, failure in failed:
        cell = record.cell
        where = f"{cell.method.name} on {cell.dataset} ({cell.task.name}, seed {cell.seed})"
        reason = hanging(record.reason)
        print(f"failed: {record.key} {where}: {failure.kind}: {reason}", file=sys.stderr)
    if failed:
        print(
            "the same `rppbench run` tries failed cells again; "
            f"`rppbench records drop KEY --output {folder}` removes one from all pages, "
            "`--status failed` all of them",
            file=sys.stderr,
        )


def report_damage(problems: Sequence[Problem]) -> None:
    """Print which files or lines among the records do not count, and why."""
    if problems:
        kinds = dict.fromkeys("line" if problem.line else "file" for problem in problems)
        many = len(problems) > 1
        what = " and ".join(f"{kind}s" if many else kind for kind in kinds)
        verb = "do" if many else "does"
        note(f"{len(problems)} {what} {verb} not count as a record:")
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)
