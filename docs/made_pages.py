"""Parts of pages that are made when the site is built, in place of marks.

A mark is a comment: readers of the file itself see only the sentences around it.
"""

from __future__ import annotations

import inspect
import re
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rppbench.cli import COMMANDS
from rppbench.contracts import _MODULES
from rppbench.plugins.options import choices, options
from rppbench.plugins.registry import Registry
from rppbench.records.cell import spell
from rppbench.reporting.markdown import escape, markdown_table

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
INDEX = "docs/index"
MARK = re.compile(r"^<!-- made when the site is built: ([\w-]+) -->$", re.MULTILINE)
LOCAL_LINK = re.compile(r"\[([^\]]+)\]\(([^)#:]+)\)")


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    """Replace the marks of a page. Links to what the site does not hold become their text."""
    folder = (ROOT / name).parent

    def linked(match: re.Match[str]) -> str:
        there = (folder / match[2]).resolve()
        page = there.relative_to(ROOT).with_suffix("").as_posix()
        lacks = there.is_dir() or (there.suffix == ".md" and page not in app.env.found_docs)
        return match[1] if lacks and there.exists() else match[0]

    text = LOCAL_LINK.sub(linked, source[0])
    source[0] = MARK.sub(lambda match: "\n".join(PARTS[match[1]]()), text)


# --- components -----------------------------------------------------------------------------------


def methods() -> Iterator[str]:
    """All methods with options and recipes."""
    components = Registry.load().sound("methods").values()
    yield from _summary((one.title, one.name, one.paper) for one in components)
    for method in components:
        yield from _component(method)
        recipes = method.learning.recipes if method.learning else ()
        if recipes:
            heads = ("Recipe", "Made for", "Epochs", "Batch", "Rate", "From")
            yield from ["", *markdown_table(heads, map(_recipe, recipes), len(heads))]


def _recipe(recipe: Any) -> list[str]:
    scope = [*recipe.tasks, *([f"suite {recipe.suite}"] if recipe.suite else []), *recipe.datasets]
    scope += [f"{shots} shots" for shots in recipe.at_shots]
    numbers = map(spell, (recipe.epochs, recipe.batch, recipe.lr))
    return [f"`{recipe.name}`", escape(", ".join(scope)), *numbers, escape(recipe.origin)]


def datasets() -> Iterator[str]:
    """All data sets, a table for each suite; what all of a suite share stands above it."""
    components = list(Registry.load().sound("datasets").values())
    for suite in dict.fromkeys(dataset.suite for dataset in components):
        yield from ["", f"## Suite `{suite}`" if suite else "## Without a suite", ""]
        rows = [_dataset(dataset) for dataset in components if dataset.suite == suite]
        shared = {
            name: value
            for name, value in rows[0].items()
            if len(rows) > 1 and all(row[name] == value for row in rows)
        }
        yield from (f"- {name}: {value}" for name, value in shared.items() if value)
        heads = [name for name in rows[0] if name not in shared]
        body = [[row[name] for name in heads] for row in rows]
        yield from ["", *markdown_table(heads, body, len(heads))]


def _dataset(dataset: Any) -> dict[str, str]:
    what = " ".join((inspect.getdoc(dataset) or "").partition("\n\n")[0].split())
    counts = [f"{number:,} {split}" for split, number in dataset.counts.items()]
    return {
        "Name": f"`{dataset.name}`",
        "What it is": f"**{escape(dataset.title)}.** " + what.replace("|", "\\|"),
        "Role": f"large {dataset.role}" if dataset.large else dataset.role,
        "Classes": f"{dataset.size:,}" if dataset.size else "",
        "Images": ", ".join(counts),
        "Licence": escape(dataset.licence),
        "Source": escape(dataset.paper or dataset.origin),
    }


def others(kind: str) -> Iterator[str]:
    """All tasks or engines with their options."""
    components = Registry.load().sound(kind).values()
    for component in components:
        yield from _component(component)


def backbones() -> Iterator[str]:
    """The backbones that are installed; open_clip's come with their own names."""
    rows = [
        [f"`{one.name}`", escape(one.title), escape(one.note), escape(one.licence)]
        for one in Registry.load().sound("backbones").values()
    ]
    yield from markdown_table(("Name", "Title", "Note", "Licence"), rows, 4)


def _summary(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    body = [
        [f"[{title}](#{_anchor(title, name)})", f"`{name}`", paper] for title, name, paper in rows
    ]
    yield from markdown_table(("Title", "Name", "Paper"), body, 3)


def _heading(title: str, name: str) -> str:
    return f"{title} (`{name}`)"


def _anchor(title: str, name: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", _heading(title, name).lower()).replace(" ", "-")


def _component(component: Any) -> Iterator[str]:
    yield from ["", f"## {_heading(component.title, component.name)}", ""]
    yield from (inspect.getdoc(component) or "").splitlines()
    facts = [(name, getattr(component, name, "")) for name in ("paper", "licence", "origin")]
    facts.append(("defined in", f"`{component.__module__}`"))
    yield from ["", *(f"- {name}: {value}" for name, value in facts if value), ""]
    allowed = choices(component)
    rows = [
        [f"`{name}`", f"`{spell(value)}`" if value != "" else "", escape(allowed.get(name, ""))]
        for name, value in options(component).items()
    ]
    if rows:
        yield from markdown_table(("Option", "Default", "Choices"), rows, 3)


# --- commands -------------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    """The help of every command and of its verbs."""
    for name, command in COMMANDS.items():
        parser = ArgumentParser(prog=f"rppbench {name}", description=command.help)
        getattr(import_module(f"rppbench.commands.{command.module}"), command.flags)(parser)
        yield from ["", f"## rppbench {name}", ""]
        yield from _help(parser)
        for action in parser._actions:
            if isinstance(action, _SubParsersAction):
                for verb, inner in action.choices.items():
                    yield from ["", f"### rppbench {name} {verb}", ""]
                    yield from _help(inner)


def _help(parser: ArgumentParser) -> Iterator[str]:
    yield from ["```text", *parser.format_help().rstrip().splitlines(), "```"]


# --- Python ---------------------------------------------------------------------------------------


def python_api() -> Iterator[str]:
    """What programs call: the names of `rppbench` itself, and rows of records."""
    for name in ("run", "plan", "load_records", "compare"):
        yield from _directive("autofunction", f"rppbench.{name}")
    names = ("rppbench.LearnedPrompt", "rppbench.Rows", "rppbench.api.results.Row")
    for name in (*names, "rppbench.api.results.PairedDifference", "rppbench.UsageError"):
        yield from _directive("autoclass", name)


def contracts() -> Iterator[str]:
    """All names of `rppbench.contracts`, by the module that defines them."""
    for module_name, names in sorted(_MODULES.items()):
        module = import_module(module_name)
        title, _, text = (inspect.getdoc(module) or "").partition("\n")
        yield from ["", f"### {title.rstrip('.')}", "", text, ""]
        for name in names:
            value = getattr(module, name)
            kind = "autodata"
            if inspect.isclass(value):
                kind = "autoclass"
            elif inspect.isfunction(value):
                kind = "autofunction"
            yield from _directive(kind, f"{module_name}.{name}")


def checks() -> Iterator[str]:
    """The checks for plugins' own tests."""
    for name in ("check_method", "check_dataset", "check_task"):
        yield from _directive("autofunction", f"rppbench.testing.{name}")


def _directive(kind: str, name: str) -> Iterator[str]:
    yield from ["```{eval-rst}", f".. {kind}:: {name}"]
    if kind == "autoclass":
        yield from ["   :members:", "   :show-inheritance:"]
    yield "```"


def markdown_docstring(
    app: Sphinx | None, what: str, name: str, obj: object, settings: object, lines: list[str]
) -> None:
    """Turn a docstring, in the Markdown that they are written in, into reStructuredText."""
    paragraphs = [list(group) for filled, group in groupby(lines, bool) if filled]
    lines[:] = [line for paragraph in paragraphs for line in [*_restructured(paragraph), ""]]


def _restructured(paragraph: Sequence[str]) -> Sequence[str]:
    if paragraph[0].startswith("    "):
        return [".. code-block:: python", "", *paragraph]
    return [_inline(line) for line in paragraph]


def _inline(line: str) -> str:
    parts = line.split("`")
    text = [re.sub(r"([*|]|_\b)", r"\\\1", part) for part in parts[::2]]
    code = [f"``{part}``" for part in parts[1::2]]
    return "".join(part for pair in zip(text, [*code, ""], strict=False) for part in pair)


# --- the index ------------------------------------------------------------------------------------


def further_pages() -> Iterator[str]:
    """A table of contents of the pages of `docs/` that the index names nowhere."""
    index = (ROOT / f"{INDEX}.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^[\w./-]+$", index, re.MULTILINE))
    rest = [path.stem for path in sorted((ROOT / "docs").glob("*.md")) if path.stem not in named]
    rest = [name for name in rest if name != "index"]
    if rest:
        yield from ["```{toctree}", ":caption: Further pages", ":hidden:", "", *rest, "```"]


PARTS: dict[str, Callable[[], Iterable[str]]] = {
    "methods": methods,
    "datasets": datasets,
    "tasks": lambda: others("tasks"),
    "engines": lambda: others("engines"),
    "backbones": backbones,
    "commands": commands,
    "python-api": python_api,
    "contracts": contracts,
    "checks": checks,
    "further-pages": further_pages,
}
