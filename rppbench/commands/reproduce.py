"""`rppbench reproduce`: measure a table of a paper again and compare it number by number."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands import run, run_flags
from rppbench.commands.conclusion import conclude
from rppbench.commands.requests import check_device, loaded, plugins_named
from rppbench.commands.torchrun import help_on, helps
from rppbench.errors import UsageError
from rppbench.planning.settings import NAMES, Settings, settings
from rppbench.plugins.containment import debugging
from rppbench.records.store import Store
from rppbench.reporting.markdown import markdown_table
from rppbench.terminal.console import console, note
from rppbench.terminal.plan_table import counted
from rppbench.terminal.tables import print_page, print_table

if TYPE_CHECKING:  # planning needs torch
    from rppbench.plugins.registry import Registry
    from rppbench.records.cell import Cell
    from rppbench.reproduction.cards import Card, Goal
    from rppbench.reproduction.targets import Target

SAID_BY_CARD = (
    *("method", "task", "model", "pretrained", "teacher", "shots", "draw", "partial", "recipe"),
    *("set", "limit", "quick", "config"),
)
"""Flags of `run` that a card leaves no choice of."""


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `run` that a card leaves open, and those of this command."""
    add = parser.add_argument
    add("card", metavar="CARD", help="maple:table3, ...; `list` shows all, `costs` what they cost")
    add("--row", action="append", metavar="TITLE", help="only this row; may be repeated")
    add("--plan", action="store_true", help="show the cells and an estimate of their cost")
    run_flags.cell_flags(parser)
    parser.usage = "%(prog)s CARD [flag ...]"
    for action in parser._actions:
        if action.dest in SAID_BY_CARD:
            action.help = argparse.SUPPRESS


def reproduce(arguments: argparse.Namespace) -> int:
    """Run the due cells of a card and print its page.

    1 if a cell failed, or if a number differs, is incomplete or could not be run.
    """
    if arguments.card in ("list", "costs"):
        return _list() if arguments.card == "list" else _costs()
    from rppbench.reproduction.cards import card, goals

    work = card(arguments.card)
    wanted = goals(work, arguments.row or (), arguments.dataset or ())
    chosen = _settings(arguments, work, [goal.number.method for goal in wanted])
    if helps():
        return help_on(chosen)
    with debugging(chosen.debug):
        return _reproduce(work, wanted, chosen, arguments.plan or chosen.dry_run)


def _reproduce(work: Card, wanted: Sequence[Goal], chosen: Settings, plan: bool) -> int:
    from rppbench.planning.input_digests import InputDigests
    from rppbench.reproduction.page import page, write
    from rppbench.reproduction.targets import all_cells, targets
    from rppbench.reproduction.verdicts import outcomes

    registry, store = loaded(chosen), Store(Path(chosen.output))
    digests, notes = InputDigests(registry), dict[str, None]()
    with plugins_named(registry):
        check_device(registry, chosen)
        aims = targets(
            registry, work, wanted, chosen.seed, chosen.precision, digests, notes.setdefault
        )
    for line in notes:
        note(line)
    cells = all_cells(aims)
    planned, problems = run.survey_in(store, cells, digests, chosen, estimates=plan)
    if plan:
        status = run.print_plan(registry, planned, chosen, problems)
        _print_rest(registry, aims, cells)
        return status
    if not cells:
        reasons = dict.fromkeys(f"{aim.number.title}: {aim.reason}" for aim in aims)
        raise UsageError("\n".join(["nothing of this can be run", *reasons]))
    due = run.execute(registry, planned, store, chosen)
    records, _ = run.records_and_pages(store)
    results = outcomes(aims, {record.key: record for record in records})
    seeds = sorted({cell.seed for cell in cells})
    try:
        paths = write(work, results, seeds, chosen.precision, store.root)
    except OSError as error:
        raise UsageError(f"cannot write to {store.root}: {error.strerror}") from error
    print_page(page(work, results, seeds, chosen.precision))
    print(f"page: {paths[0]}", file=sys.stderr)
    failed = conclude(planned, due, records, store)
    return 1 if failed or any(result.verdict != "reproduced" for result in results) else 0


def _print_rest(registry: Registry, aims: Sequence[Target], cells: Sequence[Cell]) -> None:
    """Print what cannot be run, and the estimate of the cost of the rest."""
    from rppbench.planning.costs.operations import ASSUMED, estimate
    from rppbench.reproduction.costs import HEADS, rows

    out = console()
    reasons = Counter((aim.number.title, aim.reason) for aim in aims if aim.reason)
    for (title, reason), count in reasons.items():
        numbers = counted(count, "number")
        out.print(f"not run ({numbers}): {title}: {reason}", soft_wrap=True)
    cost = estimate(registry, cells)
    if cells and cost.known:
        (row,) = rows([("", cost)])
        parts = [f"{text} {head}" for head, text in zip(HEADS, row, strict=True)][3:]
        line = f"all cells anew: {', '.join(parts)} at {ASSUMED / 1e12:g} TFLOP/s"
        out.print(line, soft_wrap=True)


def _list() -> int:
    from rppbench.reproduction.cards import cards, goals

    rows = [
        [name, str(len(goals(one))), ", ".join(map(str, one.seeds)), one.title]
        for name, one in cards().items()
    ]
    print_table(console(), ["Card", "Numbers", "Seeds", "Title"], rows)
    return 0


def _costs() -> int:
    """Print what each card would cost, as a table for the documentation."""
    from rppbench.planning.costs.operations import estimate
    from rppbench.planning.input_digests import InputDigests
    from rppbench.plugins.registry import Registry
    from rppbench.reproduction.cards import cards, goals
    from rppbench.reproduction.costs import HEADS, rows
    from rppbench.reproduction.targets import all_cells, targets

    registry = Registry.load()
    digests = InputDigests(registry)
    costs = [
        (
            f"`{name}`",
            estimate(
                registry,
                all_cells(targets(registry, one, goals(one), one.seeds, "fp32", digests)),
            ),
        )
        for name, one in cards().items()
    ]
    print_page("\n".join([*markdown_table(HEADS, rows(costs), 1), ""]))
    return 0


def _settings(arguments: argparse.Namespace, work: Card, methods: Iterable[str]) -> Settings:
    for name in SAID_BY_CARD:
        if getattr(arguments, name, None) is not None:
            raise UsageError(
                f"--{name} cannot be given: the card says it. `rppbench run` leaves the choice"
            )
    named = tuple(dict.fromkeys(filter(None, methods)))
    fixed = {"method": named, "seed": arguments.seed or work.seeds}
    return settings({**run.given(arguments, NAMES), **fixed}, None, note)
