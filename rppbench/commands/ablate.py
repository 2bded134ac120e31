"""`rppbench ablate`: vary options of a method and compare the variants."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rppbench.commands import run, run_flags
from rppbench.commands.conclusion import conclude
from rppbench.commands.requests import loaded, plugins_named, requests
from rppbench.commands.torchrun import help_on, helps
from rppbench.errors import UsageError
from rppbench.planning.settings import GRID_NAMES, GridSettings, grid_settings
from rppbench.plugins.containment import debugging
from rppbench.records.names import file_name
from rppbench.records.store import Store
from rppbench.terminal.confirm import confirmed
from rppbench.terminal.console import console, note
from rppbench.terminal.tables import print_page

if TYPE_CHECKING:
    from rppbench.comparison.ablation import Ablation
    from rppbench.planning.grids import Design
    from rppbench.planning.input_digests import InputDigests
    from rppbench.records.grid import Grid
    from rppbench.records.record import Record


NO_CHOICE = (
    "an ablation on test images explains a method; it is no way to choose its settings\n"
    "to choose: rppbench tune, or --split val, which score validation images"
)


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `run`, and those that say what to vary."""
    run_flags.flags(parser)
    parser.add_argument(
        "--vary",
        action="append",
        metavar="KEY=V,V,...",
        help="values of an option of the method, task or recipe (recipe.lr=...), or of teacher",
    )
    parser.add_argument(
        "--baseline",
        metavar="KEY=V,...",
        help="combination that all others are compared with [first value of each]",
    )
    parser.add_argument(
        "--one-at-a-time",
        action=argparse.BooleanOptionalAction,
        help="single changes of the baseline instead of all combinations",
    )
    parser.add_argument(
        "--question",
        metavar="TEXT",
        help="what the grid asks, for the head of its pages",
    )
    parser.add_argument(
        "--metric",
        action="append",
        metavar="M",
        help="also report on this metric, e.g. loss_gap; may be repeated",
    )
    parser.add_argument(
        "--split",
        metavar="test|val",
        help="score the test images, or the validation split of what is learned on [test]",
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="name of the report, ablation-NAME.md [that of the config file, or the options]",
    )


def ablate(arguments: argparse.Namespace) -> int:
    """Run the due cells of a grid and report on it, once for each backbone; 1 if a cell failed."""
    chosen = _settings(arguments)
    if helps():
        return help_on(chosen)
    from rppbench.planning.input_digests import InputDigests

    with debugging(chosen.debug):
        digests = InputDigests(loaded(chosen))
        designs = designed(digests, chosen, arguments.yes)
    registry, store = digests.registry, Store(Path(chosen.output))
    cells = [cell for each in designs for cell in each.cells]
    if chosen.split == "test":
        note(NO_CHOICE)
    planned, problems = run.survey_in(store, cells, digests, chosen, estimates=chosen.dry_run)
    if chosen.dry_run:
        names = {key: name for each in designs for key, name in each.names.items()}
        return run.print_plan(registry, planned, chosen, problems, names)
    from rppbench.reporting.ablation_page import page
    from rppbench.reporting.interval_chart import interval_chart

    with debugging(chosen.debug):
        due = run.execute(registry, planned, store, chosen)
    if due and chosen.detach:
        return 0
    records, _ = run.records_and_pages(store)
    notes = console(stderr=True)
    reports = [
        report for each in designs for report in reported(each.grid, chosen, records, store.root)
    ]
    for report in reports:
        print_page(page(report))
        for line in interval_chart(report):
            notes.print(line, soft_wrap=True)
    return conclude(planned, due, records, store)


def designed(digests: InputDigests, chosen: GridSettings, yes: bool) -> list[Design]:
    """The requested grid with its cells, once for each backbone; as `confirmed` if it is large.

    Grids that share `digests` read data and weights once. Where there are several backbones, the
    backbone is part of the grid's name. UsageError for a grid that makes no sense.
    """
    from rppbench.planning.grids import design  # needs torch

    registry = digests.registry
    notes: dict[str, None] = {}
    with plugins_named(registry):
        asked = requests(registry, chosen)
        if chosen.split == "val":
            asked = [replace(request, validation="full") for request in asked]

        def planned(most: float) -> list[Design]:
            return [
                design(
                    registry,
                    request,
                    chosen.vary,
                    chosen.baseline,
                    one_at_a_time=chosen.one_at_a_time,
                    name=chosen.name,
                    input_digests=digests,
                    warn=notes.setdefault,
                    most=most / len(asked),
                )
                for request in asked
            ]

        designs = [
            replace(d, grid=replace(d.grid, question=chosen.question))
            for d in confirmed(yes, planned)
        ]
    for line in notes:  # each once, though it holds for every backbone
        note(line)
    if chosen.split == "val":  # beside a report on the test images, not in place of it
        designs = [replace(d, grid=replace(d.grid, name=f"{d.grid.name}-val")) for d in designs]
    if len(designs) == 1:
        return designs
    names = [f"{d.grid.name}-{r.backbone}" for d, r in zip(designs, asked, strict=True)]
    if len(set(map(file_name, names))) < len(names):  # long names may have one start
        names = [f"{d.grid.name}-{number}" for number, d in enumerate(designs, 1)]
    return [
        replace(d, grid=replace(d.grid, name=name)) for d, name in zip(designs, names, strict=True)
    ]


def reported(
    grid: Grid, chosen: GridSettings, records: Sequence[Record], folder: Path
) -> list[Ablation]:
    """Write and return the reports on a grid, one for each metric; [] if no cell has a record."""
    from rppbench.comparison.ablation import ablation
    from rppbench.reporting.ablation_page import write

    grids = [replace(grid, metric=metric) for metric in ("", *chosen.metric)]
    reports = [report for each in grids if (report := ablation(each, records)) is not None]
    try:
        for report in reports:
            write(report, folder)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return reports


def _settings(arguments: argparse.Namespace) -> GridSettings:
    values = given(arguments, GRID_NAMES)
    if values["baseline"] is not None:
        values["baseline"] = run.pairs("--baseline", values["baseline"].split(","))
    return grid_settings(values, arguments.config, note)


def given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """As `run.given`, with --vary too. UsageError for an option that is varied twice."""
    values = run.given(arguments, names)
    if values["vary"] is not None:
        values["vary"] = [_varied(values["vary"])]
    return values


def _varied(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    keys = [text.partition("=")[0].strip() for text in texts]
    repeated = next((key for key in keys if keys.count(key) > 1), None)
    if repeated:
        raise UsageError(f"--vary {repeated} is given twice; give all values at once: A,B,C")
    pairs = run.pairs("--vary", texts)
    return {
        key: tuple(value.strip() for value in values.split(",") if value.strip())
        for key, values in pairs.items()
    }
