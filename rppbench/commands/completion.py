"""`rppbench completion`: a script with which a shell completes commands, flags and files."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from rppbench.errors import UsageError, unknown

FILES = ("FILE", "DIR", "FOLDER", "IMAGE", "PATH", "INTO", "FROM", "FILE|DIR", "[KIND] PATH")
"""Values that are files or folders, as help calls them."""


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("shell", metavar="SHELL", help="bash, zsh or tcsh")


def completion(arguments: argparse.Namespace) -> int:
    """Print the script for a shell. UsageError for another shell, or without shtab."""
    try:
        import shtab
    except ImportError as error:
        raise UsageError(
            "shtab writes the script and is not installed: pip install 'rppbench[completion]'"
        ) from error
    if arguments.shell not in shtab.SUPPORTED_SHELLS:
        raise unknown("shell is named", arguments.shell, shtab.SUPPORTED_SHELLS, "shells")
    complete_parser: Callable[[], argparse.ArgumentParser] = arguments.complete_parser
    program = complete_parser()
    for action in _actions(program):
        if action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(program, shell=arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The flags of a parser and of those of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
