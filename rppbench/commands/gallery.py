"""`rppbench gallery`: draw predictions of a cell next to the ground truth, on a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.commands.leaderboard import load
from rppbench.data.root import use_data
from rppbench.errors import UsageError
from rppbench.execution.devices import torch_device
from rppbench.terminal.console import console

if TYPE_CHECKING:
    from rppbench.contracts.regions import Comparison
    from rppbench.plugins.registry import Registry
    from rppbench.records.cell import Cell
    from rppbench.records.record import Record
    from rppbench.records.store import Store

PAGE = "index.html"


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("cell", metavar="CELL", help="a cell's key or its start, or a method: rpp:kd=off")
    add("--task", metavar="TASK", help="choose the method's cells of this task")
    add("--dataset", metavar="NAME", help="choose the method's cells on this data set")
    add("--seed", type=int, metavar="N", help="choose the method's cells with this seed")
    add("--images", type=int, default=12, metavar="N", help="number of scenes, evenly spaced [12]")
    add(
        "--beside",
        metavar="METHOD|none",
        help="method without training that is drawn beside the cell's [zeroshot]",
    )
    add("--output", default="runs", metavar="DIR", help="folder of the run [runs]")
    add("--data", metavar="DIR", help="folder of real data [$RPPBENCH_DATA, $DATA or ./data]")
    add("--device", default="cpu", metavar="DEVICE", help="cpu, cuda, cuda:N or auto [cpu]")
    add("--to", required=True, metavar="DIR", help="new folder for pictures and page")


def gallery(arguments: argparse.Namespace) -> int:
    """Repeat the cell's predictions on some scenes, and draw them."""
    from rppbench.contracts.regions import DenseDataset
    from rppbench.execution.bench import CellBench
    from rppbench.execution.runner import Runner
    from rppbench.files.atomic import replacing, write_atomically
    from rppbench.plugins.registry import Registry
    from rppbench.reporting.gallery import draw
    from rppbench.reporting.gallery_page import page

    if arguments.images < 1:
        raise UsageError(f"--images must be at least 1, not {arguments.images}")
    folder = Path(arguments.to).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder; name a new one")
    if arguments.data is not None:
        use_data(Path(arguments.data).expanduser())
    runner = Runner(Path(arguments.output), device=torch_device(arguments.device))
    records, _ = load(runner.store.root)
    record = _chosen(records, arguments)
    runner.resources.registry = registry = Registry.load()
    _check(record, registry, runner.store)
    cell = replace(record.cell, limit=min(arguments.images, record.cell.limit or sys.maxsize))
    bench = CellBench(cell, runner.resources, lambda *event: None, retrain=False)
    data = bench.dataset
    task = registry.get("tasks", cell.task.name)(**dict(cell.task.options))
    unseen = data.unseen() if isinstance(data, DenseDataset) else ()
    pictures, total = [], len(bench.regions.samples())
    scenes = task.comparisons(bench)
    other = _beside(cell, arguments.beside, registry)
    others: Iterable[Comparison | None] = repeat(None, total)
    if other is not None:
        # A task keeps settings of its run, so that each cell has a task of its own.
        again = registry.get("tasks", cell.task.name)(**dict(cell.task.options))
        second = CellBench(other, runner.resources, lambda *event: None, retrain=False)
        others = again.comparisons(second)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (scene, before) in enumerate(zip(scenes, others, strict=True), 1):
            predictions = (
                {other.method.name: before.prediction, cell.method.name: scene.prediction}
                if other is not None and before is not None
                else None
            )
            drawn = draw(scene, data.classes, unseen, predictions)
            name = f"{number:03d}.png"
            with replacing(folder / name) as temporary:
                drawn.image.save(temporary, "PNG")
            pictures.append((name, scene.key, drawn.caption))
            console(stderr=True).print(f"[{number}/{total}] {scene.key}: {drawn.caption}")
        # The page comes last: if it exists, so do all of its pictures.
        write_atomically(folder / PAGE, page(record, pictures, len(data.samples("test"))))
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    print(f"{len(pictures)} pictures and their page: {folder / PAGE}", file=sys.stderr)
    return 0


def _beside(cell: Cell, text: str | None, registry: Registry) -> Cell | None:
    """The cell that is drawn beside this one; None for 'none', and beside the method itself.

    By default that of zero-shot CLIP, where it is installed.

    UsageError for a method that learns: its prompts would have to be found or learned first.
    """
    from rppbench.plugins.options import resolve

    if text is None:
        text = "zeroshot" if "zeroshot" in registry.all("methods") else "none"
    if text == "none":
        return None
    name, explicit = registry.choose("methods", text)
    method = registry.get("methods", name)
    if method.learning is not None:
        raise UsageError(f"--beside takes a method without training; {name!r} learns")
    choice = resolve(method, explicit)
    return None if choice == cell.method else replace(cell, method=choice, training=None)


def _chosen(records: Sequence[Record], arguments: argparse.Namespace) -> Record:
    """The one record that matches. UsageError if none does, or several, whose keys it lists."""
    from rppbench.exporters.select import matching_records

    matching = [
        record
        for record in matching_records(records, arguments.cell)
        if arguments.task in (None, record.cell.task.name)
        and arguments.dataset in (None, record.cell.dataset)
        and arguments.seed in (None, record.cell.seed)
    ]
    if not matching:
        raise UsageError(f"no cell of {arguments.cell!r} has this task, data set and seed")
    if len(matching) > 1:
        lines = [
            f"  {record.key}  {cell.task.name}, {cell.dataset}, seed {cell.seed}, {cell.backbone}"
            for record in matching
            for cell in [record.cell]
        ]
        head = (
            f"{arguments.cell!r} matches several cells; give --task, --dataset, --seed or the key:"
        )
        raise UsageError("\n".join([head, *lines]))
    return matching[0]


def _check(record: Record, registry: Registry, store: Store) -> None:
    """UsageError if the predictions cannot be repeated: inputs or code changed, or no prompt."""
    from rppbench.planning.code_digests import CodeCheck, CodeDigests
    from rppbench.planning.input_digests import InputDigests
    from rppbench.plugins.versions import part_version, task_version, version_of
    from rppbench.training.state import learned_parameters

    cell = record.cell
    if cell.imported:
        raise UsageError(f"{record.key} was imported and cannot be predicted again")
    task, code = registry.get("tasks", cell.task.name), CodeDigests(registry)
    parts = task(**dict(cell.task.options)).parts()
    now = {
        **dict(InputDigests(registry).of(cell.dataset, cell.backbone, None)),
        **dict(version_of("method", registry.get("methods", cell.method.name))),
        **dict(pair for part in parts for pair in part_version(part)),
        **dict(task_version(task)),
    }
    changed = [name for name, value in cell.inputs if now.get(name) != value]
    if changed:
        raise UsageError(
            f"{', '.join(changed)} is not what {record.key} was measured with; run the cell again"
        )
    if reasons := CodeCheck(code).of_record(record):
        raise UsageError(f"{'; '.join(reasons)}; run the cell of {record.key} again")
    if cell.training:
        path = store.training_path(cell.training)
        learned_parameters(path, cell.training.key, code.of_training(cell.training))
