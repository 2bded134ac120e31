"""`rppbench run` and `rppbench plan`: run the requested cells and print the leaderboard."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rppbench.commands.leaderboard import read_records, report_damage, write_pages
from rppbench.commands.torchrun import help_on, helps, runner_of, runner_options
from rppbench.data.root import use_data
from rppbench.errors import UsageError, unknown
from rppbench.files.atomic import Problem
from rppbench.files.cache_folder import cache_limit
from rppbench.leaderboard.build import build
from rppbench.leaderboard.number_format import duration_text
from rppbench.leaderboard.tables import Table
from rppbench.planning.settings import NAMES, OVERWRITE, Settings, settings
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.reporting.markdown import page
from rppbench.terminal.console import console, print_table

if TYPE_CHECKING:  # all of these need torch
    from rppbench.contracts.engine import Engine
    from rppbench.planning.plan import Request
    from rppbench.planning.status import Planned
    from rppbench.plugins.registry import Registry


def plan_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `plan`. An omitted flag is None, so that a config file can set it."""
    add = parser.add_argument
    many: dict[str, Any] = {"nargs": "+", "action": "extend"}
    add("--method", **many, metavar="NAME[:K=V,...]", help="methods with options: rpp:kd=off")
    add("--task", **many, metavar="NAME[:K=V,...]", help="tasks [cross-dataset]")
    add(
        "--dataset",
        **many,
        metavar="NAME",
        help="score only these data sets [all of the task]; your own: folder:PATH, json:PATH",
    )
    add("--data", metavar="DIR", help="folder of real data [$RPPBENCH_DATA, $DATA or ./data]")
    add("--model", metavar="MODEL", help="backbone [the default of `list backbones`]")
    add("--pretrained", metavar="TAG", help="its weights: an open_clip tag or a file")
    add("--teacher", metavar="MODEL/TAG", help="backbone that methods with kd=on learn from")
    add("--seed", **many, type=int, metavar="N", help="seeds; one training for each [1]")
    add("--shots", **many, type=int, metavar="N", help="training images per class [the recipe's]")
    add("--device", metavar="DEVICE", help="cpu, cuda, cuda:N or auto [cpu]")
    add("--batch-size", type=int, metavar="N", help="images per batch when scoring [128]")
    add("--num-workers", type=int, metavar="N", help="processes that read images [0]")
    add(
        "--memory",
        metavar="SIZE",
        help="memory limit, e.g. 4GB: smaller batches with the same results",
    )
    add(
        "--precision", metavar="NAME", help="precision of the frozen towers: fp32, bf16, ... [fp32]"
    )
    add(
        "--compile",
        nargs="?",
        const="inductor",
        metavar="BACKEND",
        help="run the towers through torch.compile [backend inductor]",
    )
    add("--recipe", metavar="NAME", help="training recipe; `rppbench info METHOD` lists them")
    add(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="set an option of all chosen methods, tasks or recipes: length=8, recipe.lr=0.01",
    )
    add("--output", metavar="DIR", help="folder for records and prompts [runs]")
    add(
        "--overwrite",
        metavar="|".join(OVERWRITE),
        help="cells with a record: keep good ones, run all again, or refuse [only-missing]",
    )
    add(
        "--fail-on-error",
        action=argparse.BooleanOptionalAction,
        help="stop at the first cell that fails",
    )
    add("--limit", type=int, metavar="N", help="score only N test images of each data set")
    add("--engine", metavar="NAME[:K=V,...]", help="where cells run [inline]")
    add("--track", metavar="NAME[:DIR]", help="send progress to tensorboard, wandb or mlflow")
    add("--config", metavar="FILE", help="read settings from a .py (executed), .yaml or .json")


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `run`: those of `plan`, and `--dry-run`."""
    plan_flags(parser)
    parser.add_argument(
        "--dry-run", action=argparse.BooleanOptionalAction, help="the same as `rppbench plan`"
    )


def plan(arguments: argparse.Namespace) -> int:
    """Print the requested cells and what would happen to each; 1 if a record is damaged."""
    chosen = _settings(arguments)
    registry, planned, _, problems = _survey(chosen)
    return print_plan(registry, planned, chosen, problems)


def run(arguments: argparse.Namespace) -> int:
    """Run the cells that are due; 1 if any of them failed."""
    chosen = _settings(arguments)
    if helps():
        return help_on(chosen)
    registry, planned, store, problems = _survey(chosen)
    if chosen.dry_run:
        return print_plan(registry, planned, chosen, problems)
    due = execute(registry, planned, store, chosen)
    records, tables = records_and_pages(store)
    asked = {entry.cell.task.name for entry in planned}
    sys.stdout.write(page([table for table in tables if table.task in asked]))
    sys.stdout.flush()
    return conclude(planned, due, records, store)


def execute(
    registry: Registry, planned: Sequence[Planned], store: Store, chosen: Settings
) -> list[Planned]:
    """Run the cells that are due, and return them."""
    from rppbench.execution.tracking import Tracked, tracker
    from rppbench.planning.plan import cell_groups
    from rppbench.terminal.run_progress import display, titles
    from rppbench.training.distributed import joined, launched

    engine = _engine(registry, chosen.engine)
    if launched() and engine.name != "inline":
        raise UsageError(
            f"under torchrun cells run one after the other, each on all processes: engine "
            f"{engine.name!r} cannot be used"
        )
    cache_limit()  # an invalid limit fails now, not in each cell
    due = _due(planned, chosen.overwrite)
    runner_options(chosen)  # an invalid one fails even if nothing is due
    backend = tracker(chosen.track, store.root) if chosen.track else None
    _make_folder(store.root)
    notes = console(stderr=True)
    for line in (*registry.complaints(), _totals(planned, due, chosen)):
        notes.print(line, soft_wrap=True)
    if not due and not launched():  # helper processes wait until this one joins them
        return due
    runner = runner_of(chosen)
    with joined(runner.device) as runner.group:
        if due:
            cells = [entry.cell for entry in due]
            with display(due, notes) as report:
                if backend is None:
                    engine.run(runner, cell_groups(cells), report)
                else:
                    tracked = Tracked(report, backend, titles(cells), notes.print)
                    with closing(tracked):
                        engine.run(runner, cell_groups(cells), tracked)
    return due


def records_and_pages(store: Store) -> tuple[list[Record], list[Table]]:
    """All records of a folder and their tables; writes the pages again.

    Damaged records are printed.
    """
    records, problems = read_records(store)
    report_damage(problems)
    tables = build(records)
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


def _settings(arguments: argparse.Namespace) -> Settings:
    given = {name: getattr(arguments, name, None) for name in NAMES}
    return settings({**given, "set": pairs("--set", given["set"] or ())}, arguments.config)


def _survey(chosen: Settings) -> tuple[Registry, list[Planned], Store, list[Problem]]:
    from rppbench.planning.plan import cells
    from rppbench.planning.status import survey

    registry = loaded(chosen)
    with plugins_named(registry):
        planned = cells(registry, request(chosen), warn=_note)
    store = Store(Path(chosen.output))
    surveyed, problems = survey(planned, store)
    return registry, surveyed, store, problems


def _note(line: str) -> None:
    print(f"rppbench: {line}", file=sys.stderr)


def loaded(chosen: Settings) -> Registry:
    """The registry of all plugins. UsageError, which lists the methods, if no method is named."""
    from rppbench.plugins.registry import Registry

    if chosen.data is not None:
        use_data(Path(chosen.data).expanduser())
    registry = Registry.load()
    if not chosen.method:
        names = ", ".join(registry.all("methods")) or "(none)"
        notes = registry.complaints()
        raise UsageError(
            "\n".join(["name one or more methods: --method NAME", f"methods: {names}", *notes])
        )
    return registry


@contextmanager
def plugins_named(registry: Registry) -> Iterator[None]:
    """Add the plugins that failed to load to a UsageError: the missing component may be theirs."""
    try:
        yield
    except UsageError as error:
        notes = [line for line in registry.complaints() if line not in str(error)]
        raise UsageError("\n".join([str(error), *notes])) from error


def request(chosen: Settings) -> Request:
    """The request to the planner."""
    from rppbench.contracts.backbone import PRECISIONS
    from rppbench.planning.plan import Request

    if chosen.precision not in PRECISIONS:  # one message now instead of a failure in every cell
        raise unknown("precision is named", chosen.precision, PRECISIONS, "precisions")
    return Request(
        methods=chosen.method,
        tasks=chosen.task,
        datasets=chosen.dataset,
        backbone=chosen.backbone,
        teacher=chosen.teacher,
        seeds=chosen.seed,
        shots=chosen.shots,
        precision=chosen.precision,
        limit=chosen.limit,
        recipe=chosen.recipe,
        settings=tuple(chosen.set.items()),
    )


def _engine(registry: Registry, text: str) -> Engine:
    from rppbench.plugins.options import resolve

    name, explicit = registry.choose("engines", text)
    component = registry.get("engines", name)
    engine: Engine = component(**dict(resolve(component, explicit).options))
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error


def _due(planned: Sequence[Planned], overwrite: str) -> list[Planned]:
    """The cells to run now. UsageError for a record that must not be replaced."""
    recorded = [entry for entry in planned if entry.state in ("done", "failed")]
    if overwrite == "never" and recorded:
        cell = recorded[0].cell
        raise UsageError(
            f"{len(recorded)} of {_counted(len(planned), 'cell')} already recorded, for example "
            f"{cell.method.name} on {cell.dataset}, seed {cell.seed}\n"
            "--overwrite=never keeps them; choose another --output, or only-missing to continue"
        )
    if overwrite == "always":
        return list(planned)
    return [entry for entry in planned if entry.state != "done"]


def conclude(
    planned: Sequence[Planned], due: Sequence[Planned], records: Sequence[Record], store: Store
) -> int:
    """Print the failures and the counts; the exit status."""
    from rppbench.terminal.run_progress import titles

    results = {record.key: record for record in records}
    ran = [results[entry.cell.key] for entry in due if entry.cell.key in results]
    failed = [record for record in ran if record.failure]
    names = titles([entry.cell for entry in due])
    for record in failed:
        assert record.failure is not None
        reason = (record.failure.message.splitlines() or [""])[0]
        line = f"failed: {names[record.key]}: {record.failure.kind}: {reason}"
        print(line, file=sys.stderr)
    counts = [
        f"{len(ran) - len(failed)} done",
        f"{len(planned) - len(due)} had a record",
        f"{len(failed)} failed",
        *([f"{len(due) - len(ran)} not run"] if len(ran) < len(due) else []),
    ]
    print(f"cells: {', '.join(counts)}; records and pages in {store.root}", file=sys.stderr)
    return 1 if failed else 0


def print_plan(
    registry: Registry,
    planned: Sequence[Planned],
    chosen: Settings,
    problems: Sequence[Problem],
    names: Mapping[str, str] | None = None,
) -> int:
    """Print the cells and the totals; `names` distinguishes the cells of one method, by key.

    Returns 1 if records are damaged; these are printed, and their cells count as still to run.
    """
    from rppbench.planning.plan import labels

    rows = []
    for entry in planned:
        cell = entry.cell
        changed = names[cell.key] if names else labels(registry, cell)["method_options"]
        rows.append(
            [
                cell.method.name + (f" ({changed})" if changed else ""),
                cell.task.name,
                cell.dataset,
                str(cell.seed),
                entry.state,
                entry.training,
                "–" if entry.seconds is None else duration_text(entry.seconds),
            ]
        )
    heads = ["Method", "Task", "Data set", "Seed", "State", "Training", "Estimate"]
    out = console()
    print_table(out, heads, rows)
    due = _due(planned, chosen.overwrite)
    for line in (*registry.complaints(), _totals(planned, due, chosen)):
        out.print(line, soft_wrap=True)
    report_damage(problems)
    return 1 if problems else 0


def _totals(planned: Sequence[Planned], due: Sequence[Planned], chosen: Settings) -> str:
    states = [entry.state for entry in planned]
    counts = {name: states.count(name) for name in ("done", "failed", "blocked")}
    parts = [f"{len(due)} to run", *(f"{count} {name}" for name, count in counts.items() if count)]
    text = f"{_counted(len(planned), 'cell')}: {', '.join(parts)}"
    if chosen.overwrite == "always":  # neither stored prompts nor old estimates count then
        trainings = {entry.cell.training for entry in due if entry.cell.training}
        trainings |= {training.start for training in trainings if training.start}
        return f"{text}; {_counted(len(trainings), 'training')}"
    text += f"; {_counted(sum(entry.trainings for entry in due), 'training')}"
    known = [entry.seconds for entry in due if entry.seconds is not None]
    if not known:
        return text
    rest = len(due) - len(known)
    more = f" and {_counted(rest, 'cell')} without an estimate" if rest else ""
    return f"{text}; about {duration_text(sum(known))}{more}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
