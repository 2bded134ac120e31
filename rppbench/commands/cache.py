"""`rppbench cache`: show, prune or verify stored features. Needs no torch."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rppbench.errors import UsageError
from rppbench.features.files import (
    StoredFile,
    features_folder,
    problems,
    remove,
    stored_files,
    surplus,
)
from rppbench.files.cache_folder import cache_folder, cache_limit
from rppbench.files.sizes import parse_size, spell_size
from rppbench.terminal.console import console
from rppbench.terminal.step_progress import step_progress
from rppbench.terminal.tables import print_table

DAY = 24 * 3600.0


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their flags."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, execute: Callable[[argparse.Namespace], int]) -> Any:
        added = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(verb=execute, parser=added)
        return added.add_argument

    verb("info", "show the place, number and size of stored features", info)
    add = verb("prune", "remove stored features; they are computed again when needed", prune)
    add(
        "--max-size",
        metavar="SIZE",
        help="remove the least recently used features until SIZE is left",
    )
    add(
        "--older-than",
        type=float,
        metavar="DAYS",
        help="remove features that were not used for DAYS days",
    )
    add("--all", action="store_true", help="remove all stored features")
    add("--dry-run", action="store_true", help="only print what would be removed")
    verb("verify", "read all stored features and list damaged files", verify)


def cache(arguments: argparse.Namespace) -> int:
    """Run the verb that was called."""
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    return verb(arguments)


def info(arguments: argparse.Namespace) -> int:
    """Print one line for each kind of features, then the total and the limit."""
    folder, limit = cache_folder(), cache_limit()
    kinds: dict[str, list[StoredFile]] = {}
    files = stored_files(folder)
    for entry in files:
        kinds.setdefault(entry.kind, []).append(entry)
    rows = [
        [
            kind,
            f"{len(group):,}",
            _total(group),
            _day(min(group, key=_used)),
            _day(max(group, key=_used)),
        ]
        for kind, group in sorted(kinds.items())
    ]
    out = console()
    if rows:
        print_table(out, ("Kind", "Files", "Size", "Oldest use", "Latest use"), rows)
        out.print()
    bound = "no limit ($RPPBENCH_CACHE_SIZE)" if limit is None else f"limit {spell_size(limit)}"
    count = f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    out.print(f"{features_folder(folder)}: {count}, {_total(files)}, {bound}", soft_wrap=True)
    return 0


def prune(arguments: argparse.Namespace) -> int:
    """Remove the features that the flags select. UsageError without such a flag."""
    if not arguments.all and arguments.max_size is None and arguments.older_than is None:
        raise UsageError("choose what to remove: --max-size SIZE, --older-than DAYS or --all")
    if arguments.older_than is not None and not arguments.older_than >= 0:
        raise UsageError(f"--older-than takes a number of days, not {arguments.older_than}")
    size = None if arguments.max_size is None else parse_size(arguments.max_size, "--max-size")
    since = None if arguments.older_than is None else time.time() - DAY * arguments.older_than
    files = stored_files(cache_folder())
    chosen = files if arguments.all else surplus(files, size, since)
    if not arguments.dry_run:
        remove(chosen)
    out = console()
    verb = "would remove" if arguments.dry_run else "removed"
    left = spell_size(_size(files) - _size(chosen))
    out.print(f"{verb} {len(chosen):,} of {len(files):,} files, {_total(chosen)}; {left} left")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Print each damaged file with the reason; 1 if any file is damaged."""
    files, out, damaged = stored_files(cache_folder()), console(), 0
    with step_progress() as begin_step:
        report = begin_step("verify stored features")
        for done, problem in enumerate(problems(files), 1):
            report(done, len(files))
            if problem:
                out.print(str(problem), soft_wrap=True)
                damaged += 1
    result = f"{damaged:,} damaged or foreign" if damaged else "all as they were written"
    out.print(f"{len(files):,} files, {_total(files)}: {result}", soft_wrap=True)
    if damaged:
        out.print(
            "a damaged file is computed again when needed; `rppbench cache prune --all` removes all"
        )
    return 1 if damaged else 0


def _used(entry: StoredFile) -> float:
    return entry.used


def _day(entry: StoredFile) -> str:
    return datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")


def _size(files: list[StoredFile]) -> int:
    return sum(entry.size for entry in files)


def _total(files: list[StoredFile]) -> str:
    return spell_size(_size(files))
