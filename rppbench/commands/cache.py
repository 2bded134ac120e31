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
from rppbench.terminal.console import console, print_table
from rppbench.terminal.step_progress import step_progress

DAY = 24 * 3600.0


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their flags."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, execute: Callable[[argparse.Namespace], int]) -> Any:
        added = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(verb=execute, parser=added)
        return added.add_argument

    verb("info", "show where stored features are, how many and how large they are", info)
    add = verb("prune", "remove stored features; they are computed again when needed", prune)
    add("--max-size", metavar="SIZE", help="remove the least recently used until this much is left")
    add("--older-than", type=float, metavar="DAYS", help="remove those not used for so long")
    add("--all", action="store_true", help="remove all")
    add("--dry-run", action="store_true", help="only print what would be removed")
    verb("verify", "read all stored features and list damaged files", verify)


def cache(arguments: argparse.Namespace) -> int:
    """Run the verb that was called."""
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    return verb(arguments)


def info(arguments: argparse.Namespace) -> int:
    """Print a line for each kind of features, and the limit."""
    folder, limit = cache_folder(), cache_limit()
    kinds: dict[str, list[StoredFile]] = {}
    files = stored_files(folder)
    for entry in files:
        kinds.setdefault(entry.kind, []).append(entry)
    rows = [
        [kind, f"{len(of):,}", _total(of), _day(min(of, key=_used)), _day(max(of, key=_used))]
        for kind, of in sorted(kinds.items())
    ]
    out = console()
    if rows:
        print_table(out, ("Kind", "Files", "Size", "Oldest use", "Latest use"), rows)
    bound = "no limit ($RPPBENCH_CACHE_SIZE)" if limit is None else f"limit {spell_size(limit)}"
    count = f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    out.print(f"{features_folder(folder)}: {count}, {_total(files)}, {bound}", soft_wrap=True)
    return 0


def prune(arguments: argparse.Namespace) -> int:
    """Remove the named features. UsageError if none are named."""
    if not arguments.all and arguments.max_size is None and arguments.older_than is None:
        raise UsageError("choose what to remove: --max-size SIZE, --older-than DAYS or --all")
    if arguments.older_than is not None and not arguments.older_than >= 0:
        raise UsageError(f"--older-than takes a number of days, not {arguments.older_than}")
    size = None if arguments.max_size is None else parse_size(arguments.max_size, "--max-size")
    since = None if arguments.older_than is None else time.time() - DAY * arguments.older_than
    files = stored_files(cache_folder())
    gone = files if arguments.all else surplus(files, size, since)
    if not arguments.dry_run:
        remove(gone)
    out = console()
    verb = "would remove" if arguments.dry_run else "removed"
    left = spell_size(_size(files) - _size(gone))
    out.print(f"{verb} {len(gone):,} of {len(files):,} files, {_total(gone)}; {left} left")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Print each damaged file with the reason; 1 if there are any."""
    files, out, bad = stored_files(cache_folder()), console(), 0
    with step_progress() as begin_step:
        report = begin_step("verify stored features")
        for done, problem in enumerate(problems(files), 1):
            report(done, len(files))
            if problem:
                out.print(str(problem), soft_wrap=True)
                bad += 1
    result = f"{bad:,} damaged or foreign" if bad else "all as they were written"
    out.print(f"{len(files):,} files, {_total(files)}: {result}", soft_wrap=True)
    if bad:
        out.print(
            "a damaged file is computed again when needed; `rppbench cache prune --all` removes all"
        )
    return 1 if bad else 0


def _used(entry: StoredFile) -> float:
    return entry.used


def _day(entry: StoredFile) -> str:
    return datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")


def _size(files: list[StoredFile]) -> int:
    return sum(entry.size for entry in files)


def _total(files: list[StoredFile]) -> str:
    return spell_size(_size(files))
