"""`rppbench records`: list, show or drop single records. Needs neither torch nor the plugins."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rppbench.commands.leaderboard import report_damage, write_all_pages
from rppbench.errors import UsageError
from rppbench.leaderboard.number_format import duration_text
from rppbench.records.cell import Choice, shots_text, spell
from rppbench.records.confidence import confidence_path
from rppbench.records.names import file_name
from rppbench.records.record import Record
from rppbench.records.store import Store
from rppbench.records.stored import Stored
from rppbench.reporting.leaderboard_files import SUFFIXES
from rppbench.terminal.console import console, hanging
from rppbench.terminal.step_progress import step_progress
from rppbench.terminal.tables import print_table

FILTERS = ("method", "task", "dataset", "status")


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their flags."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, execute: Callable[[argparse.Namespace], int]) -> Any:
        added = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(verb=execute, parser=added)
        add = added.add_argument
        if name == "show":
            add("key", nargs="+", metavar="KEY", help="key of a record, or its first characters")
        else:
            add("key", nargs="*", metavar="KEY", help="only these; the first characters suffice")
            add_filters(add)
            add("--status", choices=("ok", "failed"), help="only records with this status")
        add("--output", default="runs", metavar="DIR", help="folder of a run [runs]")
        return add

    verb("list", "print a line for each record", listed)
    verb("show", "print all that a record holds", show)
    add = verb("drop", "remove records, so that pages and runs forget them", drop)
    add("--yes", action="store_true", help="do not ask")


def add_filters(add: Callable[..., object]) -> None:
    """Add the flags that choose records by what they are of."""
    many: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "NAME"}
    add("--method", **many, help="only records of these methods")
    add("--task", **many, help="only records of these tasks")
    add("--dataset", **many, help="only records of these data sets")


def records(arguments: argparse.Namespace) -> int:
    """Run the verb that was called."""
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    return verb(arguments)


def listed(arguments: argparse.Namespace) -> int:
    """Print the chosen records; 1 if some are damaged."""
    _, chosen, problems = _chosen(arguments)
    _print(chosen)
    return 1 if problems else 0


def show(arguments: argparse.Namespace) -> int:
    """Print the chosen records in full."""
    store, chosen, _ = _chosen(arguments)
    out = console()
    for index, one in enumerate(chosen):
        if index:
            out.print()
        for name, text in _facts(store, one):
            out.print(f"{name}: {hanging(text)}", soft_wrap=True)
    return 0


def drop(arguments: argparse.Namespace) -> int:
    """Remove the chosen records and write the pages again. UsageError unless it is confirmed."""
    if not arguments.key and not any(getattr(arguments, name) for name in FILTERS):
        raise UsageError(
            "choose what to drop: KEY ..., --method, --task, --dataset or --status "
            "(`rppbench records list` prints the keys)"
        )
    store, chosen, _ = _chosen(arguments)
    if not chosen:
        print("no record is chosen: nothing to drop", file=sys.stderr)
        return 0
    if not arguments.yes:
        _print(chosen)
        _confirm(len(chosen))
    try:
        store.drop([one.record.cell for one in chosen])
    except OSError as error:
        raise UsageError(f"cannot write to {store.root}: {error.strerror}") from error
    left, _ = store.all()
    tasks = {one.record.cell.task.name for one in chosen}
    for task in tasks - {record.cell.task.name for record in left}:
        for suffix in SUFFIXES:  # of a task without records no page is written
            (store.root / f"{file_name(task)}.{suffix}").unlink(missing_ok=True)
    write_all_pages(left, store.root)
    plural = "" if len(chosen) == 1 else "s"
    print(
        f"dropped {len(chosen)} record{plural}; {len(left)} left in {store.root}", file=sys.stderr
    )
    return 0


def _confirm(count: int) -> None:
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError("nothing is dropped without --yes: there is no terminal to ask in")
    print(f"drop {count} record{'' if count == 1 else 's'}? [y/N] ", end="", file=sys.stderr)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing is dropped")


def _chosen(arguments: argparse.Namespace) -> tuple[Store, list[Stored], int]:
    """The store, the records that the arguments choose, and the number of damaged ones."""
    store = Store(Path(arguments.output))
    if not store.records.is_dir():
        raise UsageError(f"no folder {store.records}: {store.root} is not the folder of a run")
    with step_progress() as begin_step:
        stored, problems = store.stored(begin_step(f"read records of {store.root}"))
    report_damage(problems)
    chosen = [one for one in stored if passes(one.record, arguments)]
    if not arguments.key:
        return store, chosen, len(problems)
    by_key = []
    for start in arguments.key:
        fitting = [one for one in chosen if one.record.key.startswith(start)]
        if len(fitting) != 1:
            many = len(fitting) or "no"
            raise UsageError(
                f"{many} keys of records begin with {start!r}; "
                "`rppbench records list` prints the keys"
            )
        by_key += [one for one in fitting if one not in by_key]
    return store, by_key, len(problems)


def passes(record: Record, arguments: argparse.Namespace) -> bool:
    """Whether the filters of the arguments choose this record."""
    cell = record.cell
    values = (cell.method.name, cell.task.name, cell.dataset, record.status)
    for name, value in zip(FILTERS, values, strict=True):
        wanted = getattr(arguments, name, None)
        if wanted and value not in ([wanted] if isinstance(wanted, str) else wanted):
            return False
    return True


def _print(stored: Sequence[Stored]) -> None:
    rows = []
    for one in stored:
        record = one.record
        cell, score = record.cell, record.score()
        options = record.labels.get("method_options", "")
        rows.append(
            [
                record.key,
                cell.method.name + (f" ({options})" if options else ""),
                cell.task.name,
                cell.dataset,
                str(cell.seed),
                f"{score.metric} {score.value:.2f}" if score else _reason(record),
            ]
        )
    print_table(console(), ("Key", "Method", "Task", "Data set", "Seed", "Result"), rows)


def _reason(record: Record) -> str:
    if record.failure is None:
        return record.status
    return f"failed, {record.failure.kind}: {' '.join(record.failure.message.split())}"


def _facts(store: Store, stored: Stored) -> list[tuple[str, str]]:
    """Names and texts of all that a record holds, without the outcomes of single images."""
    record = stored.record
    cell, training, cost = record.cell, record.cell.training, record.cost
    facts = [
        ("record", record.key),
        ("in", stored.place),
        ("status", record.status),
        ("method", _spelt(cell.method)),
        ("task", _spelt(cell.task)),
        ("data set", cell.dataset),
        ("backbone", f"{cell.backbone} in {cell.precision}"),
        ("seed", str(cell.seed)),
        ("limit", "" if cell.limit is None else f"{cell.limit} test images"),
    ]
    if training is not None:
        facts += [
            ("training", training.key),
            ("recipe", _spelt(training.recipe)),
            (
                "learned on",
                f"{training.source}, {training.classes} classes, {shots_text(training.shots)}",
            ),
            ("teacher", training.teacher or ""),
        ]
    for score in record.scores:
        counts = "" if score.correct is None else f" ({score.correct} of {score.total})"
        facts.append((score.metric, f"{score.value:.4f}{counts}"))
    if record.failure is not None:
        facts.append(("failure", f"{record.failure.kind}: {record.failure.message}"))
        facts.append(("details", record.failure.details))
    facts += [("earlier failure", f"{one.kind}: {one.message}") for one in record.earlier]
    seconds = f"{duration_text(cost.train_seconds)} of training" if training else ""
    scoring = f"{duration_text(cost.eval_seconds)} of scoring" if record.scores else ""
    facts += [
        ("cost", ", ".join(filter(None, (seconds, scoring)))),
        *((f"input {name}", value) for name, value in cell.inputs),
        *record.environment.items(),
        (
            "confidences",
            confidence_path(store.root, record).as_posix() if record.confidence else "",
        ),
        ("started", record.started),
        ("finished", record.finished),
    ]
    return [(name, text) for name, text in facts if text]


def _spelt(choice: Choice) -> str:
    options = ",".join(f"{name}={spell(value)}" for name, value in choice.options)
    return f"{choice.name}:{options}" if options else choice.name
