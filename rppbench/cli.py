"""The command line: words to a command, and whatever went wrong to an exit status.

0: done. 1: some cells failed. 2: the request makes no sense. 130: interrupted.
Nothing here or in the modules of `rppbench.commands` imports torch before a command needs it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from rppbench import __version__
from rppbench.commands import (
    ablate,
    cache,
    compare,
    data,
    doctor,
    export,
    export_classifier,
    export_coco,
    gallery,
    import_prompt,
    leaderboard,
    list_info,
    merge,
    predict,
    publish,
    published,
    report,
    run,
    score,
)
from rppbench.errors import UsageError, unknown

Configure = Callable[[argparse.ArgumentParser], None]
Execute = Callable[[argparse.Namespace], int]

COMMANDS: dict[str, tuple[str, Configure, Execute]] = {
    "run": ("compare methods: learn, score, and print the leaderboard", run.flags, run.run),
    "plan": ("show what `run` would do", run.plan_flags, run.plan),
    "ablate": ("vary options of a method, and compare", ablate.flags, ablate.ablate),
    "list": (
        "list methods, data sets, tasks, engines or backbones",
        list_info.list_flags,
        list_info.listed,
    ),
    "info": ("show one of them: options, recipes, paper", list_info.info_flags, list_info.info),
    "data": ("list, check, prepare, index or export data sets", data.flags, data.data),
    "leaderboard": ("make tables from records", leaderboard.flags, leaderboard.leaderboard),
    "report": ("make a static site of all tables and plots", report.flags, report.report),
    "compare": ("say how sure the difference of two rows is", compare.flags, compare.compare),
    "published": ("show numbers that papers print", published.flags, published.published),
    "merge": ("join folders of records", merge.flags, merge.merge),
    "publish": ("copy sound records to where others look", publish.flags, publish.publish),
    "export": ("write a learned prompt and its card to a folder", export.flags, export.export),
    "export-classifier": (
        "write a prompt's class features for a detector or segmenter",
        export_classifier.flags,
        export_classifier.export_classifier,
    ),
    "export-coco": ("write scenes as COCO-format files", export_coco.flags, export_coco.export),
    "import": (
        "read an official checkpoint into such a folder",
        import_prompt.flags,
        import_prompt.adopt,
    ),
    "score": ("score what another program predicted", score.flags, score.score),
    "gallery": ("draw predictions next to the truth", gallery.flags, gallery.gallery),
    "predict": ("classify images with such a prompt", predict.flags, predict.predict),
    "cache": ("show, prune or verify stored features", cache.flags, cache.cache),
    "doctor": ("describe this installation for a bug report", doctor.flags, doctor.doctor),
}


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nsee: {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    try:
        try:
            return _execute([_dashed(word) for word in (sys.argv[1:] if argv is None else argv)])
        finally:
            sys.stdout.flush()  # a closed pipe shows here, not in the interpreter's last words
    except UsageError as error:
        print(f"rppbench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rppbench: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _execute(argv: Sequence[str]) -> int:
    parser = Parser(prog="rppbench", description="Compare prompt-learning methods for CLIP.")
    parser.add_argument("--version", action="version", version=f"rppbench {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    parsers = {}
    for name, (text, configure, execute) in COMMANDS.items():
        parsers[name] = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        configure(parsers[name])
        parsers[name].set_defaults(execute=execute)
    named = next((word for word in argv if not word.startswith("-")), None)
    if named is not None and named not in COMMANDS:
        raise unknown("command is named", named, COMMANDS, "commands")
    arguments, rest = parser.parse_known_args(argv)
    if named is None:
        parser.print_help(sys.stderr)
        return 2
    if rest:
        chosen = getattr(arguments, "parser", parsers[named])  # of the verb, where there is one
        raise _unexpected(rest, chosen)
    execute = arguments.execute
    return int(execute(arguments))


def _dashed(word: str) -> str:
    """'--batch_size=8' as '--batch-size=8': both spellings are common in the field."""
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value if word.startswith("--") else word


def _unexpected(rest: Sequence[str], parser: argparse.ArgumentParser) -> UsageError:
    flag = next((word.partition("=")[0] for word in rest if word.startswith("-")), None)
    if flag is None:
        return UsageError(f"`{parser.prog}` does not expect {rest[0]!r}")
    known = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    return unknown(f"flag of `{parser.prog}` is named", flag, known, "flags")
