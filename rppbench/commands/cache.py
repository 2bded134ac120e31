"""`rppbench cache`: what is stored to be reused, what of it goes, what is damaged. No torch."""

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

DAY = 24 * 3600.0


def flags(parser: argparse.ArgumentParser) -> None:
    """What the verbs take."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, execute: Callable[[argparse.Namespace], int]) -> Any:
        added = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(verb=execute, parser=added)
        return added.add_argument

    verb("info", "show where stored features are, how many and how large", info)
    add = verb("prune", "remove stored features; what is asked for again is made again", prune)
    add("--max-size", metavar="SIZE", help="the least recently used go until this much is left")
    add("--older-than", type=float, metavar="DAYS", help="those go that were not used for so long")
    add("--all", action="store_true", help="all go")
    add("--dry-run", action="store_true", help="only say what would go")
    verb("verify", "read all stored features; name the files that are damaged", verify)


def cache(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    return verb(arguments)


def info(arguments: argparse.Namespace) -> int:
    """One line a kind of features, and the limit."""
    folder, limit = cache_folder(), cache_limit()
    kinds: dict[str, list[StoredFile]] = {}
    found = stored_files(folder)
    for entry in found:
        kinds.setdefault(entry.kind, []).append(entry)
    rows = [
        [kind, f"{len(of):,}", _total(of), _day(min(of, key=_used)), _day(max(of, key=_used))]
        for kind, of in sorted(kinds.items())
    ]
    out = console()
    if rows:
        print_table(out, ("Kind", "Files", "Size", "Oldest use", "Latest use"), rows)
    bound = "no limit ($RPPBENCH_CACHE_SIZE)" if limit is None else f"limit {spell_size(limit)}"
    files = f"{len(found):,} file{'' if len(found) == 1 else 's'}"
    out.print(f"{features_folder(folder)}: {files}, {_total(found)}, {bound}", soft_wrap=True)
    return 0


def prune(arguments: argparse.Namespace) -> int:
    """Remove what was asked for. UsageError if nothing was."""
    if not arguments.all and arguments.max_size is None and arguments.older_than is None:
        raise UsageError("say what goes: --max-size SIZE, --older-than DAYS or --all")
    if arguments.older_than is not None and not arguments.older_than >= 0:
        raise UsageError(f"--older-than takes a number of days, not {arguments.older_than}")
    size = None if arguments.max_size is None else parse_size(arguments.max_size, "--max-size")
    since = None if arguments.older_than is None else time.time() - DAY * arguments.older_than
    found = stored_files(cache_folder())
    gone = found if arguments.all else surplus(found, size, since)
    if not arguments.dry_run:
        remove(gone)
    out = console()
    verb = "would remove" if arguments.dry_run else "removed"
    left = spell_size(_size(found) - _size(gone))
    out.print(f"{verb} {len(gone):,} of {len(found):,} files, {_total(gone)}; {left} left")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """1 if any file is damaged: each is named with the reason."""
    from rppbench.terminal.step_progress import watching

    found, out, bad = stored_files(cache_folder()), console(), 0
    with watching(console(stderr=True)) as watch:
        tell = watch("verify stored features")
        for done, problem in enumerate(problems(found), 1):
            tell(done, len(found))
            if problem:
                out.print(str(problem), soft_wrap=True)
                bad += 1
    said = f"{bad:,} damaged or foreign" if bad else "all as they were written"
    out.print(f"{len(found):,} files, {_total(found)}: {said}", soft_wrap=True)
    if bad:
        out.print(
            "a damaged file is made again where it is asked for; `rppbench cache prune --all`"
        )
    return 1 if bad else 0


def _used(entry: StoredFile) -> float:
    return entry.used


def _day(entry: StoredFile) -> str:
    return datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")


def _size(found: list[StoredFile]) -> int:
    return sum(entry.size for entry in found)


def _total(found: list[StoredFile]) -> str:
    return spell_size(_size(found))
