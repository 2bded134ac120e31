"""`rppbench score`: score the predictions of another program and record the result."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rppbench.commands.leaderboard import read_records, report_damage, write_all_pages
from rppbench.commands.merge import summary
from rppbench.data.root import use_data
from rppbench.errors import UsageError
from rppbench.leaderboard.number_format import decimals
from rppbench.records.merge import Arriving, Merged, merge_records
from rppbench.records.store import Store
from rppbench.terminal.console import console, note
from rppbench.terminal.tables import print_table


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add(
        "predictions",
        metavar="FILE|DIR",
        help="COCO results (.json), sem_seg_predictions.json, or a folder of PNG label maps",
    )
    add(
        "--task",
        required=True,
        metavar="TASK",
        help="detection or segmentation, with its options: segmentation:absent=skip",
    )
    add(
        "--dataset",
        required=True,
        metavar="NAME",
        help="data set that was predicted: lvis, ...",
    )
    add("--variant", required=True, metavar="NAME", help="name of the program's row in tables")
    add("--seed", type=int, metavar="N", help="seed of its training; several seeds make one row")
    add("--backbone", metavar="NAME", help="backbone of its classifier; rows of one table share it")
    add("--origin", default="", metavar="TEXT", help="program, commit and address, for the record")
    add("--note", default="", metavar="TEXT", help="remark for readers")
    add("--data", metavar="DIR", help="folder of real data [$RPPBENCH_DATA, $DATA or ./data]")
    add("--output", default="runs", metavar="DIR", help="folder for the record [runs]")


def score(arguments: argparse.Namespace) -> int:
    """Score the predictions, add a record, write the pages again; 1 if another record conflicts."""
    from rppbench.contracts.engine import Event
    from rppbench.importers import predictions
    from rppbench.plugins.registry import Registry
    from rppbench.terminal.run_progress import display, titles

    if arguments.data is not None:
        use_data(Path(arguments.data).expanduser())
    registry = Registry.load()
    name, explicit = registry.choose("tasks", arguments.task)
    data = registry.get("datasets", arguments.dataset)()
    origin = predictions.Origin(
        variant=arguments.variant,
        backbone=arguments.backbone or predictions.UNKNOWN,
        seed=arguments.seed,
        source=arguments.origin,
        note=arguments.note,
    )
    cell = predictions.imported_cell(registry.get("tasks", name), data, origin, explicit)
    path, into = Path(arguments.predictions).expanduser(), Path(arguments.output)
    with display(titles([cell]), console(stderr=True)) as report:
        report(Event(cell.key, "start"))
        record = predictions.scored_record(
            registry,
            cell,
            path,
            origin,
            lambda done, total: report(Event(cell.key, "evaluate", done, total)),
            lambda remark: report(Event(cell.key, "evaluate", message=remark)),
        )
    rows = [(s.metric, f"{s.value:.{decimals(s.metric)}f}") for s in record.scores]
    print_table(console(), ("Metric", record.labels["dataset"]), rows)
    result = Merged()
    try:
        merge_records(Store(into), [Arriving(record, str(path))], result)
        everything, damaged = read_records(Store(into))
        report_damage(damaged)
        write_all_pages(everything, into)
    except OSError as error:
        raise UsageError(f"cannot write to {into}: {error.strerror}") from error
    for line in summary(result, len(everything), into):
        print(line, file=sys.stderr)
    if result.conflicts:
        note("give another --variant or --seed, or remove that record")
    return 1 if result.conflicts or damaged else 0
