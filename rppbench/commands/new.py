"""`rppbench new`: write an installable package with a component of one's own, and its tests."""

from __future__ import annotations

import argparse
import re
import sys
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from string import Template

from rppbench.errors import UsageError, unknown
from rppbench.files.atomic import write_atomically

TEMPLATES = Path(__file__).parent / "templates"
KINDS = {
    "method": "a method",
    "dataset": "a data set",
    "task": "a task",
    "engine": "an engine",
}
"""Kind -> what it is called in a sentence."""
TRY = {
    "method": "rppbench run --method zeroshot $name --task few-shot --limit 40",
    "dataset": "$env=/path/to/images rppbench data check $name",
    "task": "rppbench plan --method zeroshot coop --task $name",
    "engine": "rppbench run --method zeroshot --task few-shot --limit 40 --engine $name",
}
"""Kind -> a first command with the component."""
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("kind", metavar="KIND", help=" | ".join(KINDS))
    add("name", metavar="NAME", help="its name on the command line, such as my-method")
    add("--to", metavar="FOLDER", help="new folder for the package [./NAME]")


def new(arguments: argparse.Namespace) -> int:
    """Write the package: pyproject, module, tests, README. UsageError for a folder with files."""
    kind = arguments.kind
    if kind not in KINDS:
        raise unknown("kind of component is named", kind, KINDS, "kinds")
    check_name(kind, arguments.name)
    folder = Path(arguments.to or arguments.name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty; name a new folder with --to")
    for path, text in package(kind, arguments.name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / path, text)
    print(f"{KINDS[kind]} and its tests: {folder}", file=sys.stderr)
    print(f"next: pip install -e '{folder}[test]' && pytest {folder}", file=sys.stderr)
    return 0


def package(kind: str, name: str) -> dict[str, str]:
    """The files of a package by their paths in its folder."""
    words = name.split("-")
    values = {
        "name": name,
        "module": "_".join(words),
        "cls": "".join(word.capitalize() for word in words),
        "env": "_".join(words).upper(),
        "title": " ".join(words).capitalize(),
        "a_kind": KINDS[kind],
    }
    values["try"] = Template(TRY[kind]).substitute(values)
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{values['module']}.py": f"{kind}.py",
        f"tests/test_{values['module']}.py": f"test_{kind}.py",
    }
    return {
        path: Template((TEMPLATES / f"{file}.template").read_text("utf-8")).substitute(values)
        for path, file in files.items()
    }


def check_name(kind: str, name: str) -> None:
    """UsageError, with a name that is valid, for one that the command line or Python cannot use."""
    if not NAME.fullmatch(name):
        close = _hyphenated(name)
        hint = f"; did you mean {close!r}?" if close else ""
        raise UsageError(
            f"{name!r} is not a name{hint}\n"
            "names have lower-case letters, digits and single hyphens, and begin with a letter"
        )
    module = name.replace("-", "_")
    if iskeyword(module) or find_spec(module) is not None:
        raise UsageError(
            f"Python has a module or word {module!r} already; did you mean {f'my-{name}'!r}?"
        )
    from rppbench.plugins.registry import Registry

    if name in Registry.load().all(f"{kind}s"):
        raise UsageError(f"{KINDS[kind]} {name!r} exists; did you mean {f'my-{name}'!r}?")


def _hyphenated(text: str) -> str:
    """The text as a valid name: 'MyMethod 2' -> 'my-method-2'; '' if nothing is left of it."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text).lower()
    return re.sub(r"[^a-z0-9]+", "-", parted).lstrip("0123456789-").rstrip("-")
