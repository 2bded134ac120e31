"""`rppbench published`: numbers printed in papers, and sums that do not match; needs no torch."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from rppbench.errors import unknown
from rppbench.leaderboard.published import Figure, Line, shipped
from rppbench.terminal.console import console, print_table


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("--task", metavar="TASK", help="only numbers of this task")
    add("--method", metavar="NAME", help="only numbers of this method")
    add("--check", action="store_true", help="compute averages again; print those that differ")


def published(arguments: argparse.Namespace) -> int:
    """Print the numbers, or with --check the wrong sums; 1 if one is not marked as wrong."""
    lines = shipped()
    return _check(lines) if arguments.check else _show(lines, arguments)


def _check(lines: tuple[Line, ...]) -> int:
    from rppbench.leaderboard.published_check import check

    findings = check(lines)
    out = console()
    for finding in findings:
        out.print(str(finding), soft_wrap=True)
    unmarked = [finding for finding in findings if not finding.rounded and not finding.sic]
    count = sum(len(line.sums) for line in lines)
    out.print(f"{count} sums: {len(findings)} differ from the printed average", soft_wrap=True)
    return 1 if unmarked else 0


def _show(lines: Iterable[Line], arguments: argparse.Namespace) -> int:
    figures = [figure for line in lines for figure in line.figures.values()]
    tasks = {figure.facts.task for figure in figures}
    names = {name for figure in figures for name in (figure.method, figure.title) if name}
    if arguments.task not in (None, *tasks):
        raise unknown("published number is of a task named", arguments.task, tasks, "tasks")
    if arguments.method not in (None, *names):
        raise unknown("published number is of a method named", arguments.method, names, "methods")
    chosen = [
        figure
        for figure in figures
        if arguments.task in (None, figure.facts.task)
        and arguments.method in (None, figure.method, figure.title)
    ]
    heads = ["Method", "Task", "Data set", "Metric", "Value", "Backbone", "Kind", "Where"]
    print_table(console(), heads, map(_row, chosen))
    return 0


def _row(figure: Figure) -> list[str]:
    facts = figure.facts
    average = f"mean of {len(figure.over)}" if figure.over else "–"
    how = "; ".join(filter(None, (facts.recipe, facts.seed and f"seed {facts.seed}", facts.note)))
    return [
        figure.title,
        facts.task,
        figure.dataset or average,
        facts.metric,
        str(figure.value),
        facts.backbone,
        facts.kind,
        where(figure) + (f" ({how})" if how else ""),
    ]


def where(figure: Figure) -> str:
    """Paper or repository, place in it, and the source it was read in, if another."""
    via = f", read in {figure.facts.via}" if figure.facts.via else ""
    quoted = f", quoting {figure.quotes}.yaml" if figure.quotes else ""
    return f"{figure.origin}, {figure.place}{via}{quoted}"
