"""`rppbench watch`: follow the runs that were submitted from a folder, without a hand in them."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rppbench.errors import UsageError
from rppbench.terminal.console import console

if TYPE_CHECKING:
    from rppbench.contracts.engine import Report
    from rppbench.execution.cluster.shared_engine import Following


def flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("--output", default="runs", metavar="DIR", help="folder of the records [runs]")
    add("--once", action="store_true", help="print the state and return")


def watch(arguments: argparse.Namespace) -> int:
    """Print the state of each run that is under way, then its events until all are over.

    1 if a run is left without workers; the command that submitted it starts others.
    """
    from rppbench.execution.cluster.shared_engine import LOOK_SECONDS
    from rppbench.terminal.run_progress import display

    output = Path(arguments.output)
    following = _under_way(output)
    out = console()
    if not following:
        out.print(f"no run is under way in {output}", soft_wrap=True)
        return 0
    for one in following:
        for line in one.lines():
            out.print(line, soft_wrap=True)
    if arguments.once:
        return 0
    names = {key: title for one in following for key, title in one.run.titles.items()}
    left_alone = []
    with display(names, out) as report:
        while following:
            left_alone += [one for one in following if not _relay(one, report)]
            following = [one for one in following if one not in left_alone and one.run.left()]
            if following:
                time.sleep(LOOK_SECONDS)
    for one in left_alone:
        out.print(
            f"{one.run.folder.name} has {len(one.run.left())} batches left and no workers: issue "
            "the command again",
            soft_wrap=True,
        )
    return 1 if left_alone else 0


def _under_way(output: Path) -> list[Following]:
    """The open runs of engines whose workers outlive the command."""
    from rppbench.execution.cluster.shared_engine import Following, SharedEngine
    from rppbench.execution.cluster.shared_run import open_runs
    from rppbench.plugins.registry import Registry

    engines = Registry.load().all("engines")
    following = []
    for name, engine in engines.items():
        if issubclass(engine, SharedEngine) and engine.persistent:
            if problem := (one := engine()).obstacle():
                if open_runs(output, name):
                    raise UsageError(f"engine {name!r} cannot be asked here: {problem}")
                continue
            following += [Following(one, run, print) for run in open_runs(output, name)]
    return [one for one in following if one.run.left()]


def _relay(one: Following, report: Report) -> bool:
    """Relay what is new; whether the run has workers or is over."""
    alive = one.alive()
    for event in one.reader.new():
        report(event)
    return alive or not one.run.left()
