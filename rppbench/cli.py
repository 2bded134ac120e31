"""The command line: picks the command that the arguments name, and turns errors into exit statuses.

0: done. 1: some cells failed, or something is damaged. 2: the request makes no sense, or the output
cannot be written. 130: interrupted. 141: the reader of a pipe stopped.
Only the module of the called command is imported, and it imports torch only when the command needs
it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from rppbench import __version__
from rppbench.commands.verbs import COMMANDS, GROUPS, Command
from rppbench.errors import UsageError, unknown
from rppbench.plugins.containment import EscapeError, contained, interrupts, line_of
from rppbench.terminal import streams
from rppbench.terminal.console import note
from rppbench.terminal.plain_output import plain_output

FOREIGN = ("run", "plan", "eval", "build")
"""Commands that are also understood in the words of CLIP_benchmark."""


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nsee: {self.prog} --help")


class Program(Parser):
    """The parser of the program, whose help lists the commands in groups."""

    def format_help(self) -> str:
        """As argparse does, with `GROUPS` in place of one list."""
        lines = [self.format_usage(), f"{self.description}", ""]
        for heading, commands in GROUPS.items():
            lines += [f"{heading}:"]
            lines += [f"  {name:<18} {command.help}" for name, command in commands.items()]
            lines += [""]
        lines += ["`rppbench COMMAND --help` explains a command; --version prints the version."]
        return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    streams.protect()
    with plain_output():
        return _checked_status(sys.argv[1:] if argv is None else argv)


def _checked_status(argv: Sequence[str]) -> int:
    """The exit status, which also says whether standard output was lost."""
    try:
        status = _status(argv)
    except SystemExit:  # --help and --version
        if streams.failure() is None:
            raise
        status = 0
    lost = streams.failure()
    if lost is None:
        return status
    if streams.was_closed_by_reader(lost):
        return 141
    print(f"rppbench: error: cannot write the output: {lost.strerror}", file=sys.stderr)
    return 2


def _status(argv: Sequence[str]) -> int:
    try:
        with interrupts():
            return _execute([_dashed(word) for word in argv])
    except UsageError as error:
        print(f"rppbench: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"rppbench: error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except EscapeError as error:
        print(f"rppbench: error: {line_of(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rppbench: interrupted; the same command continues from here", file=sys.stderr)
        return 130


def _execute(argv: Sequence[str]) -> int:
    command, arguments = parsed(argv)
    if command is None:
        return 2
    module = import_module(f"rppbench.commands.{command.module}")
    with contained():
        return int(getattr(module, command.execute)(arguments))


def parsed(argv: Sequence[str]) -> tuple[Command | None, argparse.Namespace]:
    """The command of the arguments, and its flags; None, and help on stderr, without a command."""
    program, parsers = _parsers()
    name = next((word for word in argv if not word.startswith("-")), None)
    if name is None:
        program.parse_known_args(argv)  # --help and --version end here
        program.print_help(sys.stderr)
        return None, argparse.Namespace()
    if name not in COMMANDS and name not in FOREIGN:
        raise unknown("command is named", name, COMMANDS, "commands")
    if name in FOREIGN:
        argv = import_module("rppbench.commands.clip_benchmark").translated(argv, note)
        name = next(word for word in argv if not word.startswith("-"))
    _add_flags(parsers[name], COMMANDS[name])
    arguments, rest = program.parse_known_args(argv)
    if rest:
        chosen = getattr(arguments, "parser", parsers[name])  # a verb has its own parser
        raise _unexpected(rest, chosen)
    arguments.complete_parser = complete_parser
    return COMMANDS[name], arguments


def complete_parser() -> argparse.ArgumentParser:
    """The parser of the program with the flags of all commands."""
    program, parsers = _parsers()
    for name, parser in parsers.items():
        _add_flags(parser, COMMANDS[name])
    return program


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the program, and those of its commands, which have no flags yet."""
    program = Program(prog="rppbench", description="Compare prompt-learning methods for CLIP.")
    program.add_argument("--version", action="version", version=f"rppbench {__version__}")
    commands = program.add_subparsers(metavar="COMMAND", parser_class=Parser)
    return program, {
        name: commands.add_parser(
            name,
            help=command.help,
            description=command.help,
            epilog="\n  ".join(["examples:", *command.examples]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for name, command in COMMANDS.items()
    }


def _add_flags(parser: Parser, command: Command) -> None:
    module = import_module(f"rppbench.commands.{command.module}")
    getattr(module, command.flags)(parser)


def _dashed(word: str) -> str:
    """'--batch_size=8' as '--batch-size=8': both spellings are common in the field."""
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value if word.startswith("--") else word


def _unexpected(rest: Sequence[str], parser: argparse.ArgumentParser) -> UsageError:
    flag = next((word.partition("=")[0] for word in rest if word.startswith("-")), None)
    if flag is None:
        return UsageError(f"`{parser.prog}` does not expect {rest[0]!r}")
    if parser.prog.split()[-1] in FOREIGN:
        foreign = import_module("rppbench.commands.clip_benchmark").misspelt(flag)
        if foreign:
            named = f"no flag of `{parser.prog}` is named {flag!r}"
            return UsageError(f"{named}; did you mean {foreign!r}?")
    known = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    return unknown(f"flag of `{parser.prog}` is named", flag, known, "flags")
