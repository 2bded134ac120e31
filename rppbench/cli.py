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
from typing import NamedTuple, NoReturn

from rppbench import __version__
from rppbench.errors import UsageError, unknown
from rppbench.plugins.containment import EscapeError, contained, interrupts, line_of
from rppbench.terminal import streams
from rppbench.terminal.console import note
from rppbench.terminal.plain_output import plain_output


class Command(NamedTuple):
    """A verb of the program. Its module is imported to call the verb, not to list it."""

    help: str
    module: str
    """Name of its module in `rppbench.commands`."""
    execute: str
    """The module's function that runs the command; it maps parsed arguments to an exit status."""
    flags: str = "flags"
    """The module's function that adds the command's flags to a parser."""


COMMANDS = {
    "run": Command("compare methods: train, score, and print the leaderboard", "run", "run"),
    "plan": Command("show what `run` would do", "run", "plan", "plan_flags"),
    "ablate": Command("vary options of a method and compare the variants", "ablate", "ablate"),
    "tune": Command("choose options of a method on validation images alone", "tune", "tune"),
    "list": Command(
        "list methods, data sets, tasks, engines or backbones", "list_info", "listed", "list_flags"
    ),
    "info": Command(
        "show one component: options, recipes, paper", "list_info", "info", "info_flags"
    ),
    "watch": Command("follow a run that was submitted with --detach", "watch", "watch"),
    "data": Command("list, check, prepare, index or export data sets", "data", "data"),
    "leaderboard": Command("make tables from records", "leaderboard", "leaderboard"),
    "records": Command("list, show or drop single records", "records", "records"),
    "reliability": Command(
        "show how far confidence is from accuracy", "reliability", "reliability"
    ),
    "report": Command("make a static site of all tables and plots", "report", "report"),
    "compare": Command("test whether two rows of a table differ", "compare", "compare"),
    "power": Command("say how many seeds would show a difference", "power", "power"),
    "published": Command("show the numbers printed in papers", "published", "published"),
    "reproduce": Command("measure a paper's table again and compare it", "reproduce", "reproduce"),
    "merge": Command("join folders of records", "merge", "merge"),
    "publish": Command("copy sound records to a shared folder", "publish", "publish"),
    "export": Command("write a learned prompt and its card to a folder", "export", "export"),
    "export-classifier": Command(
        "write a prompt's class features for a detector or segmenter",
        "export_classifier",
        "export_classifier",
    ),
    "export-coco": Command("write scenes as COCO-format files", "export_coco", "export"),
    "import": Command(
        "read an official checkpoint into a prompt folder, or runs of other harnesses into records",
        "import_prompt",
        "adopt",
    ),
    "score": Command("score the predictions of another program", "score", "score"),
    "gallery": Command("draw predictions next to the ground truth", "gallery", "gallery"),
    "predict": Command("classify images with an exported prompt", "predict", "predict"),
    "cache": Command("show, prune or verify stored features", "cache", "cache"),
    "new": Command(
        "write a package with a method, data set, task or engine of your own", "new", "new"
    ),
    "doctor": Command("describe this installation for a bug report", "doctor", "doctor"),
}


FOREIGN = ("run", "plan", "eval", "build")
"""Commands that are also understood in the words of CLIP_benchmark."""


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nsee: {self.prog} --help")


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
    parser = Parser(prog="rppbench", description="Compare prompt-learning methods for CLIP.")
    parser.add_argument("--version", action="version", version=f"rppbench {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    parsers = {
        name: commands.add_parser(
            name, help=command.help, description=command.help, allow_abbrev=False
        )
        for name, command in COMMANDS.items()
    }
    name = next((word for word in argv if not word.startswith("-")), None)
    if name is None:
        parser.parse_known_args(argv)  # --help and --version end here
        parser.print_help(sys.stderr)
        return 2
    if name not in COMMANDS and name not in FOREIGN:
        raise unknown("command is named", name, COMMANDS, "commands")
    if name in FOREIGN:
        argv = import_module("rppbench.commands.clip_benchmark").translated(argv, note)
        name = next(word for word in argv if not word.startswith("-"))
    command = COMMANDS[name]
    module = import_module(f"rppbench.commands.{command.module}")
    getattr(module, command.flags)(parsers[name])
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        chosen = getattr(arguments, "parser", parsers[name])  # a verb has its own parser
        raise _unexpected(rest, chosen)
    with contained():
        return int(getattr(module, command.execute)(arguments))


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
