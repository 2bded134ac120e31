"""`rppbench run` and `rppbench plan`: run the requested cells and print the leaderboard."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rppbench.commands.conclusion import conclude
from rppbench.commands.engines import engine_lines, engine_of, run_engine, submit
from rppbench.commands.leaderboard import load, read_records, report_damage, tables_of, write_pages
from rppbench.commands.requests import loaded, plugins_named, requests
from rppbench.commands.run_flags import flags as flags  # the program looks for them here
from rppbench.commands.run_flags import plan_flags as plan_flags
from rppbench.commands.torchrun import help_on, helps, runner_of, runner_options
from rppbench.errors import UsageError
from rppbench.files.atomic import Problem
from rppbench.files.cache_folder import cache_limit
from rppbench.leaderboard.tables import Table
from rppbench.planning.settings import NAMES, Settings, settings
from rppbench.plugins.containment import debugging
from rppbench.records.cell import Cell
from rppbench.records.record import Record
from rppbench.records.record_files import no_collection
from rppbench.records.store import Store
from rppbench.reporting.markdown import page
from rppbench.terminal.confirm import confirmed
from rppbench.terminal.console import console, note
from rppbench.terminal.plan_table import (
    counted,
    obstacle_lines,
    print_cells,
    stale_lines,
    totals,
)
from rppbench.terminal.step_progress import step_progress
from rppbench.terminal.tables import print_page

if TYPE_CHECKING:  # all of these need torch
    from rppbench.planning.input_digests import InputDigests
    from rppbench.planning.status import Planned
    from rppbench.plugins.registry import Registry


def plan(arguments: argparse.Namespace) -> int:
    """Print the requested cells and what would happen to each.

    1 if a record is damaged, or if the code of a method or task fails; 2 if all that is due is
    blocked.
    """
    # Imported only here: `run --help` needs neither it nor what it imports.
    from rppbench.commands.power import check_difference, power_of_plan

    chosen = _settings(arguments)
    difference, pilot = arguments.show_difference, arguments.pilot
    if difference is not None:
        check_difference("--show-difference", difference)
    elif pilot is not None:
        raise UsageError("--pilot says where --show-difference looks: name the difference too")
    registry, planned, store, problems, faults = survey_cells(chosen, arguments.yes, estimates=True)
    status = print_plan(registry, planned, chosen, problems, faults=faults)
    if difference is not None:
        folder = Path(pilot or store.root)
        records, damaged = load(folder) if pilot else read_records(store)
        power_of_plan([entry.cell for entry in planned], records, folder, difference)
        status = max(status, bool(damaged))
    return status


def run(arguments: argparse.Namespace) -> int:
    """Run the cells that are due; 1 if any of them failed."""
    chosen = _settings(arguments)
    if helps():
        return help_on(chosen)
    with debugging(chosen.debug):
        registry, planned, store, problems, faults = survey_cells(
            chosen, arguments.yes, estimates=chosen.dry_run
        )
        if chosen.dry_run:
            return print_plan(registry, planned, chosen, problems, faults=faults)
        due = execute(registry, planned, store, chosen)
    if due and chosen.detach:
        return 0
    records, tables = records_and_pages(store, changed=bool(due))
    asked = {entry.cell.task.name for entry in planned}
    print_page(page([table for table in tables if table.task in asked]))
    return conclude(planned, due, records, store, faults)


def execute(
    registry: Registry, planned: Sequence[Planned], store: Store, chosen: Settings
) -> list[Planned]:
    """Run the cells that are due, or submit them (`--detach`), and return them."""
    from rppbench.execution.tracking import Tracked, tracker
    from rppbench.planning.plan import cell_groups
    from rppbench.terminal.run_progress import display, titles
    from rppbench.training.distributed import joined, launched

    engine = engine_of(registry, chosen.engine)
    if chosen.debug and engine.name != "inline":
        raise UsageError(f"--debug runs in this process: engine {engine.name!r} cannot be used")
    if launched() and engine.name != "inline":
        raise UsageError(
            f"under torchrun cells run one after the other, each on all processes: engine "
            f"{engine.name!r} cannot be used"
        )
    cache_limit()  # an invalid limit fails now, not in each cell
    due = _due(planned, chosen.overwrite, engine.name)
    runner_options(chosen, engine.local)  # an invalid one fails even if nothing is due
    backend = tracker(chosen.track, store.root) if chosen.track else None
    _make_folder(store.root)
    if chosen.accept_code:
        from rppbench.execution.accepted_code import accept

        accept(registry, [entry.cell for entry in planned], store)
    notes = console(stderr=True)
    for line in (
        *registry.complaints(),
        *stale_lines(planned),
        totals(planned, due, chosen.overwrite == "always"),
    ):
        notes.print(line, soft_wrap=True)
    if not due and not launched():  # helper processes wait until this one joins them
        return due
    runner = runner_of(chosen, engine.local)
    if chosen.detach:
        for line in submit(engine, runner, cell_groups([entry.cell for entry in due])):
            notes.print(line, soft_wrap=True)
        return due
    with joined(runner.device) as runner.group:
        if due:
            cells = [entry.cell for entry in due]
            with display(titles(cells), notes, bars=not chosen.debug) as report:
                if backend is None:
                    run_engine(engine, runner, cell_groups(cells), report)
                else:
                    tracked = Tracked(report, backend, titles(cells), notes.print)
                    with closing(tracked):
                        run_engine(engine, runner, cell_groups(cells), tracked)
    return due


def records_and_pages(store: Store, *, changed: bool = True) -> tuple[list[Record], list[Table]]:
    """All records of a folder and their tables; writes the pages again.

    Damaged records are printed. changed: whether records were written since `store` was read.
    """
    records, problems = read_records(store) if changed else store.latest()
    report_damage(problems)
    tables = tables_of(records, store.root)
    write_pages(tables, store.root)
    return records, tables


def pairs(flag: str, texts: Sequence[str]) -> dict[str, str]:
    """'KEY=VALUE' texts of a flag by key."""
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} takes KEY=VALUE, not {text!r}")
        values[key.strip().replace("-", "_")] = value.strip()
    return values


def given(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The flags of these names as settings take them; None for a flag that was not given."""
    values = {name: getattr(arguments, name, None) for name in names}
    return {**values, "set": pairs("--set", values["set"] or ())}


def _settings(arguments: argparse.Namespace) -> Settings:
    return settings(given(arguments, NAMES), arguments.config, note)


def survey_cells(
    chosen: Settings, yes: bool, *, estimates: bool
) -> tuple[Registry, list[Planned], Store, list[Problem], list[str]]:
    """Registry, planned cells, their store, its damaged records, and what cannot be planned.

    estimates: as for `survey_in`.
    """
    from rppbench.planning.input_digests import InputDigests
    from rppbench.planning.plan import cells_of_all

    registry = loaded(chosen)
    digests = InputDigests(registry)
    notes: dict[str, None] = {}
    faults: dict[str, None] = {}
    with plugins_named(registry), no_collection():
        asked = requests(registry, chosen)
        planned = confirmed(
            yes,
            lambda most: cells_of_all(
                registry, asked, digests, notes.setdefault, faults, most=most
            ),
        )
    for line in notes:
        note(line)
    store = Store(Path(chosen.output))
    entries, problems = survey_in(store, planned, digests, chosen, estimates=estimates)
    return registry, entries, store, problems, list(faults)


def survey_in(
    store: Store,
    cells: Sequence[Cell],
    digests: InputDigests,
    chosen: Settings,
    *,
    estimates: bool,
) -> tuple[list[Planned], list[Problem]]:
    """The state of each of these cells in a store, and its damaged records.

    estimates: whether cells that no record is like get the seconds of the model of costs.
    """
    from rppbench.execution.devices import torch_device
    from rppbench.planning.costs.seconds import Seconds
    from rppbench.planning.refusals import Refusals
    from rppbench.planning.staleness import checks
    from rppbench.planning.status import survey

    registry = digests.registry
    with step_progress(show_bars=not chosen.debug) as begin_step, no_collection():
        against = checks(digests, chosen, begin_step)
        known = (cells, store, against, Refusals(registry), digests.unreadable)
        if not estimates:
            return survey(*known)
        here = registry.get("engines", chosen.engine.partition(":")[0]).local
        device = torch_device(chosen.device) if here else None
        model = Seconds(registry, digests.datasets, device, chosen.num_workers)
        return survey(*known, model)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error


def _due(planned: Sequence[Planned], overwrite: str, engine: str) -> list[Planned]:
    """The cells to run now. UsageError for a record that must not be replaced."""
    recorded = [entry for entry in planned if entry.state in ("done", "stale", "failed", "crashed")]
    if overwrite == "never" and recorded:
        cell = recorded[0].cell
        raise UsageError(
            f"{len(recorded)} of {counted(len(planned), 'cell')} already recorded, for example "
            f"{cell.method.name} on {cell.dataset}, seed {cell.seed}\n"
            "--overwrite=never keeps them; choose another --output, or only-missing to continue"
        )
    if overwrite == "always":
        return list(planned)
    # A cell that killed the process of a run would kill this one too.
    kept = ("done", "crashed") if engine == "inline" else ("done",)
    return [entry for entry in planned if entry.state not in kept]


def print_plan(
    registry: Registry,
    planned: Sequence[Planned],
    chosen: Settings,
    problems: Sequence[Problem],
    names: Mapping[str, str] | None = None,
    faults: Sequence[str] = (),
) -> int:
    """Print the cells and the totals; `names` distinguishes the cells of one method, by key.

    Returns 1 if records are damaged; these are printed, and their cells count as still to run. Also
    if there are `faults`, which are lines about what could not be planned. 2 if nothing that is due
    can run, because its data cannot be read.
    """
    from rppbench.planning.downloads import downloads

    out = console()
    print_cells(out, registry, planned, names)
    out.print()
    due = _due(planned, chosen.overwrite, chosen.engine.partition(":")[0])
    to_load = [entry.cell for entry in due if entry.state != "refused"]
    notes = (*obstacle_lines(planned), *stale_lines(planned), *downloads(registry, to_load))
    always = chosen.overwrite == "always"
    of_engine = engine_lines(registry, chosen, due)
    last = (totals(planned, due, always), *of_engine)
    for line in (*registry.complaints(), *faults, *notes, *last):
        out.print(line, soft_wrap=True)
    report_damage(problems)
    if problems or faults:
        return 1
    states = {entry.state for entry in due}
    return 2 if "blocked" in states and states <= {"blocked", "refused"} else 0
