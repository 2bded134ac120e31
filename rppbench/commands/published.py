"""`rppbench published`: numbers printed in papers, and averages that do not match; no torch."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from rppbench.errors import unknown
from rppbench.leaderboard.published import PublishedNumber, PublishedRow, shipped_rows
from rppbench.terminal.console import console
from rppbench.terminal.tables import print_table


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("--task", metavar="TASK", help="only numbers of this task")
    add("--method", metavar="NAME", help="only numbers of this method")
    add("--check", action="store_true", help="compute averages again; print those that differ")


def published(arguments: argparse.Namespace) -> int:
    """Print the numbers, or with --check wrong averages; 1 if one is neither rounded nor `sic`."""
    rows = shipped_rows()
    return _check(rows) if arguments.check else _show(rows, arguments)


def _check(rows: tuple[PublishedRow, ...]) -> int:
    from rppbench.leaderboard.published_check import check

    findings = check(rows)
    out = console()
    for finding in findings:
        out.print(str(finding), soft_wrap=True)
    unmarked = [finding for finding in findings if not finding.rounded and not finding.sic]
    count = sum(len(row.derived) for row in rows)
    out.print(f"{count} averages: {len(findings)} differ from the printed one", soft_wrap=True)
    return 1 if unmarked else 0


def _show(rows: Iterable[PublishedRow], arguments: argparse.Namespace) -> int:
    numbers = [number for row in rows for number in row.numbers.values()]
    tasks = {number.provenance.task for number in numbers}
    names = {name for number in numbers for name in (number.method, number.title) if name}
    if arguments.task not in (None, *tasks):
        raise unknown("published number is of a task named", arguments.task, tasks, "tasks")
    if arguments.method not in (None, *names):
        raise unknown("published number is of a method named", arguments.method, names, "methods")
    chosen = [
        number
        for number in numbers
        if arguments.task in (None, number.provenance.task)
        and arguments.method in (None, number.method, number.title)
    ]
    heads = ["Method", "Task", "Data set", "Metric", "Value", "Backbone", "Kind", "Where"]
    print_table(console(), heads, map(_row, chosen))
    return 0


def _row(number: PublishedNumber) -> list[str]:
    provenance = number.provenance
    average = f"mean of {len(number.over)}" if number.over else "–"
    seed = provenance.seed and f"seed {provenance.seed}"
    conditions = "; ".join(filter(None, (provenance.recipe, seed, provenance.note)))
    return [
        number.title,
        provenance.task,
        number.dataset or average,
        provenance.metric,
        str(number.value),
        provenance.backbone,
        provenance.kind,
        where(number) + (f" ({conditions})" if conditions else ""),
    ]


def where(number: PublishedNumber) -> str:
    """Paper or repository, the place in it, and the work that it was read in, if another."""
    via = f", read in {number.provenance.via}" if number.provenance.via else ""
    quoted = f", quoting {number.quotes}.yaml" if number.quotes else ""
    return f"{number.origin}, {number.place}{via}{quoted}"
